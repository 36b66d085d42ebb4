//! The forms in which a person types a length of time, for an error message.

/// The accepted forms. The parser knows more of them, such as `1h 30m`.
pub const TIME_FORMS: &str = "a time is a number with a unit, such as 10m, 2h or 7d";
