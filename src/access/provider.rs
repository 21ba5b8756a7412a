//! Signing in at the hospital's identity provider (OpenID Connect Core 1.0, section 3.1: authorization code flow; with PKCE, RFC 7636).
//!
//! Flow: [`Provider::begin`] → the browser goes there and comes back with a code → [`Provider::finish`] exchanges it → who it is there.
//! **Invariant**: a code is good for the browser that began, once, and within ten minutes; a token for another program is nobody's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::Agent;

use super::credentials::{self, Secret};
use crate::config::web::{is_safe, trusting};
use crate::kernel::{Clock, Tick};

/// Somebody who has not come back by then begins anew.
const WITHIN_MS: u64 = 10 * 60_000;
/// Logins that are under way at once.
const UNDER_WAY: usize = 1_000;
/// Questions to it at a time, each of which takes a thread.
const QUESTIONS: usize = 4;
/// After it did not answer it is not asked again for so long.
const REST_MS: u64 = 5_000;
/// What the provider says of itself is read again after this time.
const KNOWN_MS: u64 = 60 * 60_000;
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MAX: u64 = 1 << 20;
/// Signatures that are accepted: none that anybody could make with what is public.
const ALGORITHMS: [Algorithm; 9] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

/// How the provider is reached and who we are there.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// What people call it.
    pub name: String,
    /// Its issuer, as it writes it itself.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there, where it gave us one.
    pub client_secret: Option<Secret>,
    /// Where a browser comes back to.
    pub redirect: String,
    /// The claim that holds the name of the user.
    pub claim: String,
    /// Words of the claim `amr` (RFC 8176) that stand for a second factor.
    pub second_factors: Vec<String>,
    /// The authorities that sign its certificate, PEM; none on loopback without TLS.
    pub authorities: Option<PathBuf>,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not as a provider does.
    #[error("the identity provider cannot be used: {0}; sign in by badge or password meanwhile")]
    Unusable(String),
    /// What came back is not what this browser began.
    #[error("this login was not begun in this browser, or too long ago: begin again")]
    Unknown,
    /// The provider refused, or what it said does not hold.
    #[error("the identity provider did not say who you are: {0}")]
    Refused(String),
    /// No randomness.
    #[error("{0}")]
    Machine(String),
}

/// Where a browser is sent, and the state that it must bring back.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The address.
    pub address: String,
    /// The state.
    pub state: String,
}

/// Who somebody is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The user's name.
    pub user: String,
    /// Whether a second factor was asked for.
    pub has_second_factor: bool,
    /// Where they began.
    pub station: Option<String>,
}

/// A login under way.
struct UnderWay {
    nonce: String,
    verifier: String,
    station: Option<String>,
    began: Tick,
}

/// What the provider says of itself.
#[derive(Clone)]
struct Known {
    authorization: String,
    token: String,
    keys: JwkSet,
    read: Tick,
}

/// The provider.
pub struct Provider {
    settings: ProviderSettings,
    agent: Agent,
    clock: Clock,
    under_way: Mutex<BTreeMap<String, UnderWay>>,
    known: Mutex<Option<Known>>,
    /// When it last did not answer, and why: it is not asked again at once, by one after the other.
    failed: Mutex<Option<(Tick, String)>>,
    /// Questions to it at a time: where it hangs, the threads that compare passwords must not.
    questions: Arc<tokio::sync::Semaphore>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({})", self.settings.issuer)
    }
}

/// What a token of the provider says (OpenID Connect Core, section 2).
#[derive(Debug, Deserialize)]
struct Claims {
    nonce: Option<String>,
    azp: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A text in the query of an address or in a form (RFC 3986, 2.3: what is not unreserved is written as `%` and two digits).
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

fn pairs(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// The keys that a provider publishes; those of a kind that is not known here are others'.
fn keys(said: &Value) -> Result<JwkSet, ProviderError> {
    let keys: Vec<Jwk> = said["keys"].as_array().into_iter().flatten().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect();
    if keys.is_empty() { Err(ProviderError::Unusable("it publishes no key that can be used here".to_owned())) } else { Ok(JwkSet { keys }) }
}

impl Provider {
    /// The provider of a house; nothing is asked of it yet.
    pub fn new(settings: ProviderSettings, clock: Clock) -> Result<Self, ProviderError> {
        if !is_safe(&settings.issuer) {
            return Err(ProviderError::Unusable(format!("its issuer {} is not https", settings.issuer)));
        }
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).max_redirects(0).proxy(None);
        let agent = match &settings.authorities {
            Some(path) => agent.tls_config(trusting(path).map_err(ProviderError::Unusable)?),
            None => agent,
        };
        Ok(Self {
            settings,
            agent: agent.build().into(),
            clock,
            under_way: Mutex::default(),
            known: Mutex::default(),
            failed: Mutex::default(),
            questions: Arc::new(tokio::sync::Semaphore::new(QUESTIONS)),
        })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// A login begins. It asks the provider, so it blocks.
    pub fn begin(&self, station: Option<String>) -> Result<Begun, ProviderError> {
        let known = self.known(false)?;
        let random = || credentials::token().map_err(|error| ProviderError::Machine(error.to_string()));
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let query = pairs(&[
            ("response_type", "code"),
            ("scope", "openid profile"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.settings.redirect),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if known.authorization.contains('?') { '&' } else { '?' };
        let now = self.clock.tick();
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, begun| now.ms_since(begun.began) < WITHIN_MS);
        // Whoever began first and has not come back gives way: else a few who never come back keep everybody out.
        if under_way.len() >= UNDER_WAY
            && let Some(oldest) = under_way.iter().max_by_key(|(_, begun)| now.ms_since(begun.began)).map(|(state, _)| state.clone())
        {
            under_way.remove(&oldest);
        }
        under_way.insert(state.clone(), UnderWay { nonce, verifier, station, began: now });
        Ok(Begun { address: format!("{}{joint}{query}", known.authorization), state })
    }

    /// A browser has come back with a code. It asks the provider, so it blocks.
    pub fn finish(&self, state: &str, code: &str) -> Result<Vouched, ProviderError> {
        let now = self.clock.tick();
        // Taken out at once: a code that comes twice is somebody else's.
        let begun = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(state);
        let begun = begun.filter(|begun| now.ms_since(begun.began) < WITHIN_MS).ok_or(ProviderError::Unknown)?;
        let known = self.known(false)?;
        let form = pairs(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.settings.redirect),
            ("client_id", &self.settings.client_id),
            ("code_verifier", &begun.verifier),
        ]);
        let mut request = self.agent.post(&known.token).header("Content-Type", "application/x-www-form-urlencoded").header("Accept", "application/json");
        if let Some(secret) = &self.settings.client_secret {
            // RFC 6749, 2.3.1: both are escaped before they are encoded.
            let login = STANDARD.encode(format!("{}:{}", escaped(&self.settings.client_id), escaped(secret.show())));
            request = request.header("Authorization", format!("Basic {login}"));
        }
        let mut answer = request.send(form).map_err(|error| ProviderError::Unusable(error.to_string()))?;
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(|error| ProviderError::Unusable(error.to_string()))?;
        let said: Value = serde_json::from_str(&text).map_err(|error| ProviderError::Unusable(format!("{}: {error}", known.token)))?;
        let token = said["id_token"].as_str().ok_or_else(|| {
            let why = ["error_description", "error"].into_iter().find_map(|name| said[name].as_str());
            ProviderError::Refused(why.unwrap_or("it sent no ID token").to_owned())
        })?;
        let claims = self.claims(token, &known)?;
        self.vouched(claims, begun)
    }

    fn vouched(&self, claims: Claims, begun: UnderWay) -> Result<Vouched, ProviderError> {
        let refused = |why: &str| Err(ProviderError::Refused(why.to_owned()));
        if claims.nonce.as_deref() != Some(&begun.nonce) {
            return refused("its token is of another login");
        }
        if claims.azp.as_deref().is_some_and(|party| party != self.settings.client_id) {
            return refused("its token is for another program");
        }
        let user = claims.others.get(&self.settings.claim).and_then(Value::as_str);
        let has_second_factor = claims.amr.iter().any(|way| self.settings.second_factors.contains(way));
        match user.map(|user| user.trim().to_lowercase()).filter(|user| !user.is_empty()) {
            Some(user) => Ok(Vouched { user, has_second_factor, station: begun.station }),
            None => refused(&format!("its token has no claim {}", self.settings.claim)),
        }
    }

    /// What a token says, after its signature, issuer, audience and times were checked.
    fn claims(&self, token: &str, known: &Known) -> Result<Claims, ProviderError> {
        let refused = |error: jsonwebtoken::errors::Error| ProviderError::Refused(format!("its token does not hold ({error})"));
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(ProviderError::Refused(format!("its token is signed by {:?}, which is not accepted", header.alg)));
        }
        let find = |keys: &JwkSet| match &header.kid {
            Some(name) => keys.find(name).cloned(),
            // Without a name there must be no choice.
            None => Some(&keys.keys).filter(|keys| keys.len() == 1).and_then(|keys| keys.first().cloned()),
        };
        // A key that is not known may be new there.
        let key = find(&known.keys).map_or_else(|| Ok(find(&self.known(true)?.keys)), |key| Ok(Some(key)))?;
        let key = key.ok_or_else(|| ProviderError::Refused("its token is signed with a key that it does not publish".to_owned()))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let decoding = DecodingKey::from_jwk(&key).map_err(refused)?;
        Ok(jsonwebtoken::decode::<Claims>(token, &decoding, &validation).map_err(refused)?.claims)
    }

    /// What the provider says of itself (OpenID Connect Discovery 1.0, section 4), an hour old at most.
    fn known(&self, again: bool) -> Result<Known, ProviderError> {
        let now = self.clock.tick();
        let held = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = held.filter(|known| !again && now.ms_since(known.read) < KNOWN_MS) {
            return Ok(known);
        }
        let issuer = &self.settings.issuer;
        let said = self.read(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        let place = |name: &str| match said[name].as_str() {
            Some(address) if is_safe(address) => Ok(address.to_owned()),
            Some(address) => Err(ProviderError::Unusable(format!("its {name} {address} is not https"))),
            None => Err(ProviderError::Unusable(format!("it does not say its {name}"))),
        };
        if said["issuer"].as_str() != Some(issuer) {
            return Err(ProviderError::Unusable(format!("it calls itself {}, and the configuration {issuer}", said["issuer"])));
        }
        let keys = keys(&self.read(&place("jwks_uri")?)?)?;
        let known = Known { authorization: place("authorization_endpoint")?, token: place("token_endpoint")?, keys, read: now };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// A place among those who ask it now; none when it does not answer those who do.
    pub fn question(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.questions.clone().try_acquire_owned().ok()
    }

    fn read(&self, address: &str) -> Result<Value, ProviderError> {
        let now = self.clock.tick();
        if let Some((_, why)) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|(at, _)| now.ms_since(*at) < REST_MS) {
            return Err(ProviderError::Unusable(why));
        }
        let read = self.ask(address);
        if let Err(ProviderError::Unusable(why)) = &read {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.clock.tick(), why.clone()));
        }
        read
    }

    fn ask(&self, address: &str) -> Result<Value, ProviderError> {
        let unusable = |error: &dyn std::fmt::Display| ProviderError::Unusable(format!("{address}: {error}"));
        let mut answer = self.agent.get(address).call().map_err(|error| unusable(&error))?;
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(|error| unusable(&error))?;
        if !answer.status().is_success() {
            return Err(unusable(&answer.status()));
        }
        serde_json::from_str(&text).map_err(|error| unusable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Timestamp;

    fn provider() -> Provider {
        let settings = ProviderSettings {
            name: "Login".to_owned(),
            issuer: "http://127.0.0.1:1".to_owned(),
            client_id: "wardd".to_owned(),
            client_secret: None,
            redirect: "http://127.0.0.1:8080/login/provider/back".to_owned(),
            claim: "preferred_username".to_owned(),
            second_factors: vec!["mfa".to_owned(), "otp".to_owned()],
            authorities: None,
        };
        Provider::new(settings, Clock::new(|| Timestamp::from_micros(0), || Tick::from_ms(1))).unwrap()
    }

    fn claims(text: &str) -> Claims {
        serde_json::from_str(text).unwrap()
    }

    fn begun() -> UnderWay {
        UnderWay { nonce: "n".to_owned(), verifier: "v".to_owned(), station: None, began: Tick::from_ms(0) }
    }

    #[test]
    fn a_token_of_another_login_or_program_is_nobody_s() {
        let provider = provider();
        let said = |text: &str| provider.vouched(claims(text), begun()).map(|vouched| (vouched.user, vouched.has_second_factor)).map_err(|error| error.to_string());
        assert_eq!(said(r#"{"nonce":"n","preferred_username":" Nina "}"#), Ok(("nina".to_owned(), false)));
        assert_eq!(said(r#"{"nonce":"n","azp":"wardd","amr":["pwd","otp"],"preferred_username":"nina"}"#), Ok(("nina".to_owned(), true)));
        for (text, why) in [
            (r#"{"nonce":"m","preferred_username":"nina"}"#, "another login"),
            (r#"{"preferred_username":"nina"}"#, "another login"),
            (r#"{"nonce":"n","azp":"x","preferred_username":"nina"}"#, "another program"),
            (r#"{"nonce":"n"}"#, "no claim preferred_username"),
            (r#"{"nonce":"n","preferred_username":" "}"#, "no claim preferred_username"),
        ] {
            assert!(said(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_nobody_signed_with_a_public_key_is_not_believed() {
        let provider = provider();
        let known = Known { authorization: String::new(), token: String::new(), keys: JwkSet { keys: vec![] }, read: Tick::from_ms(0) };
        let token = |header: &str| format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"));
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"RS256","kid":"x"}"#] {
            assert!(provider.claims(&token(header), &known).is_err(), "{header}");
        }
    }

    #[test]
    fn nothing_secret_goes_over_the_network_in_the_clear() {
        for (address, safe) in [
            ("https://login.example", true),
            ("http://127.0.0.1:9000/x", true),
            ("http://localhost:9000", true),
            ("http://login.example", false),
            ("http://127.0.0.1.example:80", false),
            ("http://localhost.example", false),
            ("http://localhost:1@evil.example/", false),
            ("https://", false),
        ] {
            assert_eq!(is_safe(address), safe, "{address}");
        }
        assert_eq!(escaped("a b&c=ä~"), "a%20b%26c%3D%C3%A4~");
    }

    #[test]
    fn a_state_that_nobody_began_is_refused() {
        assert_eq!(provider().finish("x", "code"), Err(ProviderError::Unknown));
    }
}
