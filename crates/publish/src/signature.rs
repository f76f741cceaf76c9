//! Signatures: minisign over `SHA256SUMS`, of releases and of bundles.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

/// A key or a signature that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SignatureError {
    /// What is wrong.
    pub reason: String,
    /// What to type next.
    pub hint: String,
}

fn wrong(reason: impl std::fmt::Display, hint: &str) -> SignatureError {
    SignatureError {
        reason: reason.to_string(),
        hint: hint.to_owned(),
    }
}

/// A secret key that is open, with its public key.
#[derive(Debug)]
pub struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// Opens a minisign secret key (the text of its file).
    ///
    /// # Errors
    /// When the key cannot be read, or not with that password.
    pub fn open(secret_key: &str, password: Option<String>) -> Result<Self, SignatureError> {
        const HINT: &str = "a secret key is made by `minisign -G`; its password is read from the \
                            environment variable KORFINSTS_KEY_PASSWORD";
        let sealed = SecretKeyBox::from_string(secret_key)
            .map_err(|e| wrong(format!("the secret key cannot be read: {e}"), HINT))?;
        let secret = match (without_checksum(secret_key), password) {
            (Some(bytes), _) => SecretKey::from_bytes(&bytes),
            (None, Some(password)) => sealed.into_secret_key(Some(password)),
            (None, None) => sealed.into_unencrypted_secret_key(),
        }
        .map_err(|e| wrong(format!("the secret key cannot be opened: {e}"), HINT))?;
        let public = PublicKey::from_secret_key(&secret)
            .map_err(|e| wrong(format!("the secret key is damaged: {e}"), HINT))?;
        Ok(Self { secret, public })
    }

    /// The public key: the second line of its file.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.public.to_base64()
    }

    /// Signs a list of checksums. The trusted comment is `comment`; no clock goes into it.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, list: &[u8], comment: &str) -> Result<String, SignatureError> {
        const HINT: &str = "make another key with `minisign -G`";
        let untrusted = "signature of a korfinsts release";
        let list = Cursor::new(list);
        minisign::sign(
            Some(&self.public),
            &self.secret,
            list,
            Some(comment),
            Some(untrusted),
        )
        .map(SignatureBox::into_string)
        .map_err(|e| wrong(format!("cannot sign: {e}"), HINT))
    }
}

/// The bytes of a key as `minisign -G -W` writes it: neither sealed nor with a checksum.
fn without_checksum(secret_key: &str) -> Option<Vec<u8>> {
    // Algorithms of signature, sealing and checksum (2 bytes each), parameters of sealing (48), number of
    // the key (8), key (64), checksum (32).
    let bytes = STANDARD.decode(secret_key.lines().nth(1)?.trim()).ok()?;
    let zero = |range: std::ops::Range<usize>| bytes[range].iter().all(|b| *b == 0);
    (bytes.len() == 158 && zero(2..4) && zero(126..158)).then_some(bytes)
}

/// Verifies a signature against a list of checksums; returns the trusted comment.
///
/// `public_key` is the text of a minisign public key file, or its second line alone.
///
/// # Errors
/// When key or signature cannot be read, or the signature is of another key or another list.
pub fn verify_signature(
    list: &[u8],
    signature: &[u8],
    public_key: &str,
) -> Result<String, SignatureError> {
    const HINT: &str = "get the release again from where it was published";
    let trimmed = public_key.trim();
    let key = if trimmed.contains('\n') {
        PublicKeyBox::from_string(trimmed).and_then(PublicKeyBox::into_public_key)
    } else {
        PublicKey::from_base64(trimmed)
    }
    .map_err(|e| {
        wrong(
            format!("the public key cannot be read: {e}"),
            "give the text of a minisign public key file, or its second line",
        )
    })?;
    let text =
        std::str::from_utf8(signature).map_err(|_| wrong("the signature is not UTF-8", HINT))?;
    let signature = SignatureBox::from_string(text)
        .map_err(|e| wrong(format!("the signature cannot be read: {e}"), HINT))?;
    // The reader is lenient about what surrounds a signature; a signature file holds nothing else.
    if signature.to_string() != text {
        return Err(wrong("the signature file is not in canonical form", HINT));
    }
    minisign::verify(&key, &signature, Cursor::new(list), true, false, false)
        .map_err(|e| wrong(format!("the signature does not verify: {e}"), HINT))?;
    signature
        .trusted_comment()
        .map_err(|e| wrong(format!("the signature's comment cannot be read: {e}"), HINT))
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    /// A key that `minisign -G -W` of version 0.11 wrote, and its public key.
    #[test]
    fn a_key_without_password_as_minisign_writes_it_signs() {
        const SECRET: &str = "untrusted comment: minisign encrypted secret key\n\
            RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAFDbpzS26Jo8LY3QUpwwn\
            2X5LNlYLytREkkbHPgDgEEcU8eZxH/ZHBcp0KMO+AR1TSs6+jJUKYCSZuSb/Xgyxj2a5kY0jGIGvAAAAAAAAAAAAAAAAAAAA\
            AAAAAAAAAAAAAAAAAAAAAAA=\n";
        const PUBLIC: &str = "RWQUNunNLbomj8p0KMO+AR1TSs6+jJUKYCSZuSb/Xgyxj2a5kY0jGIGv";
        for password in [None, Some("not needed".to_owned())] {
            let signer = Signer::open(SECRET, password).expect("a key");
            assert_eq!(signer.public_key(), PUBLIC);
            let signature = signer.sign(b"list", "of a test").expect("signed");
            assert!(verify_signature(b"list", signature.as_bytes(), PUBLIC).is_ok());
            assert!(verify_signature(b"lisT", signature.as_bytes(), PUBLIC).is_err());
        }
        // Cut short, or of another kind.
        for damaged in [&SECRET[..200], &SECRET.replace("RWQAAEIy", "RWRTY0Iy")] {
            assert!(Signer::open(damaged, None).is_err());
        }
    }

    #[test]
    fn a_signature_is_of_one_list_and_one_key() {
        let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
        let other = KeyPair::generate_unencrypted_keypair().expect("keys");
        let secret = keys.sk.to_box(None).expect("a box").into_string();
        let public = keys.pk.to_box().expect("a box").into_string();
        let signer = Signer::open(&secret, None).expect("a key");
        assert_eq!(signer.public_key(), keys.pk.to_base64());
        let signature = signer.sign(b"list", "korfin-shift 1.0.0").expect("signed");
        let comment = verify_signature(b"list", signature.as_bytes(), &public).expect("verified");
        assert_eq!(comment, "korfin-shift 1.0.0");
        let line = keys.pk.to_base64();
        assert!(verify_signature(b"list", signature.as_bytes(), &line).is_ok());
        assert!(verify_signature(b"lisT", signature.as_bytes(), &line).is_err());
        assert!(verify_signature(b"list", signature.as_bytes(), &other.pk.to_base64()).is_err());
        for at in 0..signature.len() {
            let mut bytes = signature.clone().into_bytes();
            bytes[at] ^= 1;
            // The first line is the untrusted comment: it is covered by nothing, and says so.
            let untrusted = at < signature.find('\n').expect("a line");
            if verify_signature(b"list", &bytes, &line).is_ok() {
                assert!(untrusted, "byte {at} of\n{signature}");
            }
        }
    }
}
