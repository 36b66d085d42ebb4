//! The choice of the user at the sign-in.
//!
//! It is the user of the flag, the only one on this device, or one that a person types.

use std::collections::BTreeSet;

use commons::names::Username;
use unicode_normalization::UnicodeNormalization;

use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::sign_in_options::SignInOptions;
use crate::frontends::terminal::start_prompts::{PASSWORD, SignInError, print, prompt_line};

/// The chosen user, and the question for the password.
pub(crate) struct UserChoice {
    pub(crate) username: Username,
    pub(crate) question: String,
}

impl UserChoice {
    fn named(username: Username) -> Self {
        Self { username, question: PASSWORD.to_owned() }
    }
}

/// Returns the chosen user, from the accounts on this device or a new one.
pub(crate) async fn choose_user(
    known: &SignInOptions,
    accounts: &BTreeSet<Username>,
) -> Result<UserChoice, SignInError> {
    if let Some(username) = &known.username {
        return Ok(UserChoice::named(username.clone()));
    }
    // A new account never belongs to a user of this device.
    let accounts: Vec<_> = accounts.iter().filter(|_| !known.register).collect();
    match (accounts.as_slice(), known.interactive) {
        ([only], interactive) => {
            if interactive {
                print(format!("Welcome back, {only}. To be somebody else, start with --username NAME.\n"))
                    .await?;
            }
            let question = format!("Password of {only}: ");
            Ok(UserChoice { username: (*only).clone(), question })
        }
        (_, false) => {
            Err(SignInError::Usage("say who you are with --username NAME: nobody can be asked here"))
        }
        ([], true) => prompt_name().await.map(UserChoice::named),
        (several, true) => {
            let names: Vec<_> = several.iter().map(|name| name.as_str()).collect();
            print(format!("Accounts on this computer: {}\n", names.join(", "))).await?;
            prompt_name().await.map(UserChoice::named)
        }
    }
}

/// Asks for a user name until it is valid.
pub(crate) async fn prompt_name() -> Result<Username, SignInError> {
    loop {
        let typed = prompt_line("Your name: ").await?;
        match Username::parse(&typed.trim().nfc().collect::<String>()) {
            Ok(username) => return Ok(username),
            Err(error) => print(format!("{}\n", sanitize(&error.to_string()))).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    /// Returns the user who is chosen if no person can be asked.
    async fn at_home(known: SignInOptions, names: &[&str]) -> Option<String> {
        let accounts = names.iter().copied().map(name).collect();
        choose_user(&known, &accounts).await.ok().map(|choice| choice.username.to_string())
    }

    #[tokio::test]
    async fn single_account_is_chosen_without_a_name() {
        let known = SignInOptions::default;
        assert_eq!(at_home(known(), &["ana"]).await.as_deref(), Some("ana"));
        assert_eq!(at_home(known(), &["ana", "bob"]).await, None);
        assert_eq!(at_home(known(), &[]).await, None);
        assert_eq!(at_home(SignInOptions { register: true, ..known() }, &["ana"]).await, None);
        let bob = SignInOptions { username: Some(name("bob")), ..known() };
        assert_eq!(at_home(bob, &["ana"]).await.as_deref(), Some("bob"));
    }
}
