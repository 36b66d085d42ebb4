//! A double of the original Python tracker as a client sees it.
//! It speaks plaintext, reads each request with one `recv` of 1,024 bytes, and closes the connection if those bytes are
//! not text.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use super::python_json;

/// Starts a tracker, which ends with the test's process.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Serves one connection. Bytes that are not JSON text raise an exception: the connection is closed with the rest
/// unread, which resets it. Any other request is answered as before a login.
fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let Ok(read @ 1..) = stream.read(&mut buffer) else { return };
    if serde_json::from_slice::<Value>(&buffer[..read]).is_ok() {
        let msg = "Comando inválido. Faça login ou registre-se primeiro.";
        let _ = stream.write_all(&python_json(&json!({"status": "ERROR", "msg": msg})));
    }
}
