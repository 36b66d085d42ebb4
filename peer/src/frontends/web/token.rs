//! The token that proves that a page was opened by the user of this program, and the program to its page.
//!
//! It stands in the fragment of the page's address, which a browser sends to no server. 256 random bits cannot be
//! guessed, so wrong tokens are not counted. A page sends the token only to a server that has proven that it knows it:
//! another program may have taken the port of a peer that has ended.

use std::fmt;
use std::io;

use aws_lc_rs::hmac;
use commons::keys::Seed;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The purpose of a proof, which it covers together with the nonce.
const PURPOSE: &str = "p2p-chat page v1";

/// A token of 32 random bytes, as 64 hex digits.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Creates a new token from the system's random numbers.
    pub(crate) fn random() -> io::Result<Self> {
        Ok(Self(Zeroizing::new(base16ct::lower::encode_string(Seed::random()?.as_bytes()))))
    }

    /// Returns the token as the address of the page contains it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns true if a page has sent this token. The time does not depend on the number of equal digits.
    pub(crate) fn is(&self, sent: &str) -> bool {
        self.0.as_bytes().ct_eq(sent.as_bytes()).into()
    }

    /// Returns the proof that this program knows the token: an HMAC-SHA256 over the nonce of a page, as hex digits.
    pub(crate) fn proof(&self, nonce: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        base16ct::lower::encode_string(hmac::sign(&key, format!("{PURPOSE} {nonce}").as_bytes()).as_ref())
    }
}

/// The token stays out of logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(token.is(token.text()));
        assert_eq!(token.text().len(), 64);
        for wrong in ["", &token.text()[1..], other.text(), &token.text().to_uppercase()] {
            assert!(!token.is(wrong) || wrong == token.text(), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(token.text()));
    }

    #[test]
    fn proof_is_the_documented_hmac() {
        let token = Token(Zeroizing::new("00ff".repeat(16)));
        // By Python's `hmac`.
        let expected = "e01238430b03adfd398cf1177ca9c1a8e358eb7aa86fe34c9555e544c966d1a3";
        assert_eq!(token.proof(&"ab".repeat(32)), expected);
        assert_ne!(token.proof(&"ac".repeat(32)), expected);
    }
}
