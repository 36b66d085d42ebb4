//! The QR code of a safety number, which the page draws.

use qrcodegen::{QrCode, QrCodeEcc, QrSegment};

/// Returns the rows of the code, with `#` for a dark module and `.` for a light one. Returns none for a text without
/// digits, and for one that no code can hold.
pub(crate) fn qr_code(number: &str) -> Vec<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let segments = [QrSegment::make_numeric(&digits)];
    let Some(code) =
        QrCode::encode_segments(&segments, QrCodeEcc::Medium).ok().filter(|_| !digits.is_empty())
    else {
        return Vec::new();
    };
    let row = |y| (0..code.size()).map(|x| if code.get_module(x, y) { '#' } else { '.' }).collect();
    (0..code.size()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qr_code_holds_the_sixty_digits() {
        let number = "12345 67890 ".repeat(6);
        let rows = qr_code(&number);
        // The library chooses the mask; 25 rows are version 2, which sixty digits fill.
        assert_eq!(rows.len(), 25);
        assert!(rows.iter().all(|row| row.len() == 25 && row.chars().all(|module| "#.".contains(module))));
        assert!(rows[0].starts_with("#######.") && rows[0].ends_with(".#######"), "{rows:#?}");
        assert_eq!(rows, qr_code(&number.replace(' ', "")), "only digits count");
        assert_ne!(rows, qr_code(&number.replace('1', "2")), "the control");
        assert!(qr_code("no digits").is_empty());
    }
}
