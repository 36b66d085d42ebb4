//! The texts for legacy clients, in Portuguese.
//! They repeat the sentences of the legacy tracker if it had one for the case.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{ErrorCode, TrackerRequest};
use commons::snapshot::ChangeKind;

use crate::handlers::outcome::RequestError;
use crate::limits::ROOMS_PER_USER;
use crate::rate_limit::in_seconds;

/// The text of a reply to a request that was carried out for this user.
pub(crate) fn done(request: &TrackerRequest, user: &str) -> String {
    match request {
        TrackerRequest::Register(_) => "Usuário registrado com sucesso.".to_owned(),
        TrackerRequest::Login(_) => "Login realizado com sucesso.".to_owned(),
        TrackerRequest::Logout => "Até logo.".to_owned(),
        TrackerRequest::CreateRoom { room } => format!("Sala '{room}' criada com sucesso."),
        TrackerRequest::JoinRoom { room } => format!("Usuário '{user}' entrou na sala '{room}'."),
        TrackerRequest::LeaveRoom { room } => format!("Usuário '{user}' saiu da sala '{room}'."),
        TrackerRequest::DeleteRoom { room } => format!("Sala '{room}' deletada com sucesso."),
        TrackerRequest::ListPeers(_) => "Peers online.".to_owned(),
        TrackerRequest::ListRooms(_) => "Salas disponíveis.".to_owned(),
        _ => "Feito.".to_owned(),
    }
}

/// The text of an error reply. `request` is `None` if the frame was not a request.
pub(crate) fn refused(
    refused: &RequestError,
    request: Option<&TrackerRequest>,
    user: Option<&Username>,
) -> String {
    let user = user.map_or("", Username::as_str);
    let wait = refused.retry_after.map_or_else(|| "um pouco".to_owned(), in_seconds);
    match (refused.code, request) {
        (_, Some(TrackerRequest::LeaveRoom { room })) if is_about_a_room(refused.code) => {
            format!("Usuário '{user}' não está na sala '{room}'.")
        }
        (_, Some(TrackerRequest::DeleteRoom { room })) if is_about_a_room(refused.code) => {
            format!("A sala '{room}' não existe ou não pode ser deletada.")
        }
        (ErrorCode::RoomExists, Some(TrackerRequest::CreateRoom { room })) => {
            format!("A sala '{room}' já existe.")
        }
        (ErrorCode::RoomNotFound, Some(TrackerRequest::JoinRoom { room })) => {
            format!("A sala '{room}' não existe.")
        }
        (ErrorCode::RoomFull, Some(TrackerRequest::JoinRoom { room })) => {
            format!("A sala '{room}' não existe ou está cheia.")
        }
        (ErrorCode::InvalidName, Some(TrackerRequest::Register(_) | TrackerRequest::Login(_))) => {
            let suggested = refused.suggestion.as_ref().map(|name| format!(", como em {name}"));
            let rule = "Nome inválido. Use até 32 letras minúsculas, 0–9, ponto, hífen ou sublinhado";
            format!("{rule}{}.", suggested.unwrap_or_default())
        }
        (ErrorCode::InvalidName, _) => {
            "Nome de sala inválido. Use até 64 caracteres, sem espaço no início ou no fim.".to_owned()
        }
        (ErrorCode::NotLoggedIn, _) => "Comando inválido. Faça login ou registre-se primeiro.".to_owned(),
        (ErrorCode::InvalidCredentials, _) => "Credenciais inválidas.".to_owned(),
        (ErrorCode::UsernameTaken, _) => "Usuário já existe.".to_owned(),
        (ErrorCode::UnknownCommand, _) => "Comando não suportado.".to_owned(),
        (ErrorCode::MissingParameter, _) => "Parâmetros ausentes.".to_owned(),
        (ErrorCode::PeerNotFound, _) => "Peer não encontrado.".to_owned(),
        (ErrorCode::AlreadyLoggedIn, _) => "Esta sessão já tem um usuário.".to_owned(),
        (ErrorCode::TooManyAttempts, _) => format!("Senhas erradas demais. Espere {wait} e tente de novo."),
        (ErrorCode::RateLimited, _) => format!("Pedidos rápidos demais. Espere {wait}."),
        (ErrorCode::Forbidden, _) => "Você só pode agir em seu próprio nome.".to_owned(),
        (ErrorCode::TooManyRooms, _) => {
            format!("Você está em {ROOMS_PER_USER} salas. Saia de uma delas primeiro.")
        }
        (ErrorCode::PlaintextRefused, _) => {
            "Este usuário tem uma chave e só entra com um programa que cifra.".to_owned()
        }
        (ErrorCode::Busy, _) => "O tracker está ocupado. Tente de novo mais tarde.".to_owned(),
        (ErrorCode::Storage, _) => {
            "A mudança não pôde ser gravada e não foi feita. Tente mais tarde.".to_owned()
        }
        (ErrorCode::FrameTooLarge, _) => "Mensagem longa demais.".to_owned(),
        (ErrorCode::KeyNotFound, _) => "Você não tem essa chave.".to_owned(),
        (ErrorCode::Banned, _) => "Você foi banido deste tracker.".to_owned(),
        (ErrorCode::Kicked, _) => "Um administrador encerrou esta sessão.".to_owned(),
        (ErrorCode::RegistrationClosed, _) => "Este tracker não aceita novos usuários.".to_owned(),
        (ErrorCode::CodeRequired | ErrorCode::WrongCode, _) => {
            "Este tracker exige um código de registro.".to_owned()
        }
        (ErrorCode::SignatureRequired, _) => {
            "Esta sala só aceita programas que assinam as mudanças.".to_owned()
        }
        (ErrorCode::BannedFromRoom, _) => "O dono da sala baniu você.".to_owned(),
        (ErrorCode::NotAdmin, _) => "Só um administrador pode fazer isso.".to_owned(),
        (_, _) => "Mensagem inválida.".to_owned(),
    }
}

/// Whether the reason is the room or the user's role in it.
fn is_about_a_room(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RoomNotFound | ErrorCode::NotAMember | ErrorCode::NotOwner)
}

/// The text of a push about a changed room. The legacy client finds out by itself who joined and who left.
pub(crate) fn update(room: &RoomName, kind: ChangeKind) -> String {
    match kind {
        ChangeKind::Deleted => format!("A sala '{room}' foi deletada."),
        _ => format!("A configuração da sala '{room}' foi atualizada."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use commons::names::NameError;

    use super::refused as refusal_text;
    use super::*;

    #[test]
    fn wait_and_name_come_from_fields_not_from_prose() {
        let text = |msg: &str| {
            let refused =
                RequestError::new(ErrorCode::RateLimited, msg).retry_after(Duration::from_millis(1500));
            refusal_text(&refused, None, None)
        };
        assert_eq!(text("other words"), "Pedidos rápidos demais. Espere 2 s.");
        assert_eq!(text("other words: wait 9 s"), text("other words"));
        let capitals = RequestError::from(NameError::Capitals("ana".to_owned()));
        let capitals = RequestError { msg: "other words".to_owned(), ..capitals };
        let request = TrackerRequest::Register(commons::protocol::with_tracker::Credentials {
            username: "Ana".to_owned(),
            password: None,
            login_key: None,
            address: None,
            port: 1,
            code: None,
        });
        let text = refusal_text(&capitals, Some(&request), None);
        assert!(text.ends_with(", como em ana."), "{text}");
    }
}
