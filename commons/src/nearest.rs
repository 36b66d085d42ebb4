//! The known word that a user probably meant.
//! Both programs suggest it after a typing error: in a command, a field or a setting.

/// More typing errors than this are another word.
const SLIPS: usize = 2;

/// Letters that are compared: nothing longer is near to a short word.
const LONGEST: usize = 20;

/// The known word that begins like this one, or else differs from it by few letters.
#[must_use]
pub fn of<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let begun = known.clone().find(|known| word.len() > 2 && known.starts_with(word));
    let close = || known.map(|known| (slips(word, known), known)).min().filter(|(slips, _)| *slips <= SLIPS);
    begun.or_else(|| close().map(|(_, known)| known))
}

/// Letters to add, drop or change to come from one word to the other.
fn slips(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (i, wanted) in to.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, typed) in from.iter().enumerate() {
            let change = corner + usize::from(*typed != wanted);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[from.len()]
}
