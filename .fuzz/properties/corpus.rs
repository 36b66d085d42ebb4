//! The format of a stored corpus: one case per line, with bytes escaped as in Rust.

pub fn read(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(case).collect()
}

fn case(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut case = Vec::new();
    while let Some(byte) = bytes.next() {
        case.push(match byte {
            b'\\' => match bytes.next().expect("an escape goes on") {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let digits =
                        [bytes.next(), bytes.next()].map(|digit| char::from(digit.expect("two digits")));
                    u8::from_str_radix(&String::from_iter(digits), 16).expect("hexadecimal")
                }
                itself => itself,
            },
            plain => plain,
        });
    }
    case
}
