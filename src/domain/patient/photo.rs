//! A photo of a patient: who cannot say who they are is told apart by it.

use serde::{Deserialize, Serialize};

use crate::kernel::{Invalid, RawBytes};

/// Largest photo, in bytes: what a screen at the bedside shows.
pub const PHOTO_BYTES: usize = 256 << 10;

/// The form of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhotoForm {
    /// JPEG (ISO/IEC 10918-1).
    Jpeg,
    /// PNG (ISO/IEC 15948).
    Png,
}

impl PhotoForm {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            PhotoForm::Jpeg => "image/jpeg",
            PhotoForm::Png => "image/png",
        }
    }
}

/// A photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photo {
    /// Its form.
    pub form: PhotoForm,
    /// Its bytes.
    pub bytes: RawBytes,
}

impl Photo {
    /// A photo of bytes, which say themselves what they are.
    pub fn new(bytes: bytes::Bytes) -> Result<Self, Invalid> {
        if bytes.len() > PHOTO_BYTES {
            return Err(Invalid::new("photo", "", format!("it has {} bytes, {PHOTO_BYTES} at most are kept: send a smaller one", bytes.len())));
        }
        let form = match bytes.as_ref() {
            [0xFF, 0xD8, 0xFF, ..] => PhotoForm::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => PhotoForm::Png,
            _ => return Err(Invalid::new("photo", "", "it is neither JPEG nor PNG".to_owned())),
        };
        Ok(Self { form, bytes: RawBytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_small_jpeg_or_png_is_a_photo() {
        let photo = |bytes: Vec<u8>| Photo::new(bytes.into()).map(|photo| photo.form);
        assert_eq!(photo(vec![0xFF, 0xD8, 0xFF, 0xE0, 1]), Ok(PhotoForm::Jpeg));
        assert_eq!(photo(b"\x89PNG\r\n\x1a\nrest".to_vec()), Ok(PhotoForm::Png));
        assert!(photo(b"<svg onload=alert(1)>".to_vec()).is_err());
        assert!(photo(vec![]).is_err());
        let mut large = vec![0; PHOTO_BYTES + 1];
        large[..3].copy_from_slice(&[0xFF, 0xD8, 0xFF]);
        assert!(photo(large).unwrap_err().to_string().contains("smaller"));
    }
}
