//! Passwords, PINs, codes, tokens: made, judged, hashed and compared; nothing here is kept.

use std::fmt::Write;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret as TotpKey, Totp};

/// Length of a password, in characters: NIST SP 800-63B-4, 3.1.1.2 asks for eight beside a second factor and fifteen alone; twelve with a
/// lock after five tries.
const PASSWORD: std::ops::RangeInclusive<usize> = 12..=128;
/// Length of a PIN, in digits.
const PIN: std::ops::RangeInclusive<usize> = 6..=12;
/// Length of a badge's code, in characters.
const BADGE: std::ops::RangeInclusive<usize> = 3..=64;

/// Why a password, PIN or badge is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// A password is too short, too long or too simple.
    #[error("a password has 12 to 128 characters, five different ones at least, and does not contain the user's name: a sentence is good")]
    Password,
    /// A PIN is too short or too simple.
    #[error("a PIN has 6 to 12 digits that are not all the same and not counted up or down")]
    Pin,
    /// A badge's code cannot be one.
    #[error("a badge's code has 3 to 64 visible ASCII characters: scan it once more")]
    Badge,
    /// Randomness is not there, or hashing failed.
    #[error("this machine cannot make or compare secrets now: {0}")]
    Machine(String),
}

/// Something that must not be seen in logs.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn show(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Whether a password will do for a user.
pub(super) fn judge_password(user: &str, password: &Secret) -> Result<(), WeakSecret> {
    let text = password.show();
    let different = text.chars().collect::<std::collections::BTreeSet<char>>().len();
    let is_long = PASSWORD.contains(&text.chars().count());
    let names_user = text.to_lowercase().contains(&user.to_lowercase());
    if is_long && different >= 5 && !names_user { Ok(()) } else { Err(WeakSecret::Password) }
}

/// Whether a PIN will do.
pub(super) fn judge_pin(pin: &Secret) -> Result<(), WeakSecret> {
    let digits = pin.show().as_bytes();
    let is_digits = PIN.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let is_counted = |step: i16| digits.windows(2).all(|pair| matches!(pair, [one, next] if i16::from(*next) - i16::from(*one) == step));
    if is_digits && ![-1, 0, 1].into_iter().any(is_counted) { Ok(()) } else { Err(WeakSecret::Pin) }
}

/// A badge's code as it is kept: what a scanner sends, without the line's end.
pub(super) fn badge(code: &str) -> Result<String, WeakSecret> {
    let code = code.trim();
    let is_code = BADGE.contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic());
    if is_code { Ok(code.to_owned()) } else { Err(WeakSecret::Badge) }
}

fn machine(error: impl std::fmt::Display) -> WeakSecret {
    WeakSecret::Machine(error.to_string())
}

fn random<const N: usize>() -> Result<[u8; N], WeakSecret> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(machine)?;
    Ok(bytes)
}

/// The argon2id hash of a password or PIN (RFC 9106; 19 MiB, two passes), in the PHC string format. Takes some 20 ms.
pub(super) fn hash(secret: &Secret) -> Result<String, WeakSecret> {
    let salt: [u8; 16] = random()?;
    Argon2::default().hash_password_with_salt(secret.show().as_bytes(), &salt).map(|hash| hash.to_string()).map_err(machine)
}

/// Whether a password or PIN is the one of a hash. Without a hash the same work is done, so that the time does not tell who is known.
pub(super) fn is_right(secret: &Secret, hash: Option<&str>) -> bool {
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm8$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODY));
    parsed.is_ok_and(|parsed| Argon2::default().verify_password(secret.show().as_bytes(), &parsed).is_ok()) && hash.is_some()
}

/// A random text of 32 bytes, for URLs and headers.
pub(super) fn token() -> Result<String, WeakSecret> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// A random id of 16 hexadecimal digits.
pub(super) fn id() -> Result<String, WeakSecret> {
    Ok(hex(&random::<8>()?))
}

/// What is kept of a token: SHA-256. A token is random, so nothing slower is needed.
pub(super) fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(super) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0_u8, |sum, (left, right)| sum | (left ^ right));
    a.len() == b.len() && differing == 0
}

/// A key of the second factor, base 32.
pub(super) fn totp_key() -> Result<String, WeakSecret> {
    Ok(TotpKey::from(random::<20>()?).to_base32())
}

/// The time step of a code, when it is right now, or half a minute before or after (RFC 6238, 5.2).
pub(super) fn step_of(key: &str, code: &str, seconds: u64) -> Option<u64> {
    totp(key)?.check(&code.replace(' ', ""), seconds)
}

fn totp(key: &str) -> Option<Totp> {
    let key = TotpKey::try_from_base32(key).ok()?;
    Some(Builder::new().with_secret(key).with_digits(6).with_skew(1).with_step_duration(30).build_noncompliant())
}

/// What an authenticator's camera is shown: the key as a link.
pub(super) fn totp_link(house: &str, user: &str, key: &str) -> String {
    let plain = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' }).collect::<String>();
    format!("otpauth://totp/{}:{}?secret={key}&issuer={}&digits=6&period=30", plain(house), plain(user), plain(house))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_pins_are_judged() {
        for (user, password, is_good) in [
            ("ada", "correct horse battery", true),
            ("ada", "short words", false),
            ("ada", "aaaaaaaaaaaaaaa", false),
            ("ada", "the Ada of the north", false),
            ("ada", &"xyzab".repeat(26), false),
            ("ben", "Grüße aus München", true),
        ] {
            assert_eq!(judge_password(user, &Secret::new(password)).is_ok(), is_good, "{password}");
        }
        for (pin, is_good) in
            [("248163", true), ("24816", false), ("111111", false), ("123456", false), ("987654", false), ("24816a", false), ("1234567890123", false), ("123457", true)]
        {
            assert_eq!(judge_pin(&Secret::new(pin)).is_ok(), is_good, "{pin}");
        }
        assert_eq!(badge(" B-12\r\n").as_deref(), Ok("B-12"));
        assert!(badge("B").is_err() && badge("B 12").is_err() && badge("Bé123").is_err());
    }

    #[test]
    fn a_hash_is_of_its_own_and_knows_its_secret() {
        let secret = Secret::new("correct horse battery");
        let (one, other) = (hash(&secret).unwrap(), hash(&secret).unwrap());
        assert_ne!(one, other);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(is_right(&secret, Some(&one)) && is_right(&secret, Some(&other)));
        assert!(!is_right(&Secret::new("correct horse batterY"), Some(&one)));
        assert!(!is_right(&secret, None) && !is_right(&secret, Some("no hash")));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        // The seed of the appendix is the text 12345678901234567890; its codes have eight digits, ours the last six of them.
        let key = TotpKey::from(*b"12345678901234567890").to_base32();
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"), (1_234_567_890, "005924"), (2_000_000_000, "279037")] {
            assert_eq!(step_of(&key, code, seconds), Some(seconds / 30), "{seconds}");
            assert_eq!(step_of(&key, code, seconds + 30), Some(seconds / 30), "a moment late");
            assert_eq!(step_of(&key, code, seconds + 90), None, "too late");
        }
        assert_eq!(step_of(&key, "287 082", 59), Some(1));
        assert_eq!((step_of(&key, "28708", 59), step_of(&key, "", 59), step_of("not base 32!", "287082", 59)), (None, None, None));
    }

    #[test]
    fn tokens_are_random_and_compared_as_a_whole() {
        assert_ne!(token().unwrap(), token().unwrap());
        assert_eq!((token().unwrap().len(), id().unwrap().len(), totp_key().unwrap().len()), (43, 16, 32));
        assert!(is_equal(b"abc", b"abc"));
        assert!(!is_equal(b"abc", b"abd") && !is_equal(b"abc", b"ab") && !is_equal(b"", b"a"));
        assert_eq!(totp_link("St. Mary's", "ada", "KEY"), "otpauth://totp/St._Mary_s:ada?secret=KEY&issuer=St._Mary_s&digits=6&period=30");
    }
}
