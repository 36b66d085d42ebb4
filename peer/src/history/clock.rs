//! The Lamport clock of each conversation.

#[cfg(test)]
mod tests {
    use commons::protocol::provenance::{Incarnation, Provenance};
    use uuid::Uuid;

    use crate::history::group;
    use crate::history::line::{ChatLine, NO_DIGEST, Text};
    use crate::history::testing::*;
    use crate::limits::LAMPORT_MAX;

    /// A signed message of this author with any time, the first of a store of its own.
    fn at_time(name: &str, lamport: u64, text: &str) -> ChatLine {
        let provenance = Provenance {
            incarnation: Incarnation(lamport),
            seq: 1,
            lamport,
            revision: REVISION,
            heads: Vec::new(),
            previous: Some(NO_DIGEST),
            device: Some(device(name)),
            signature: None,
        };
        let text = Text::Plain(text.to_owned());
        let mut line = ChatLine { id: Uuid::now_v7(), author: user(name), sent_at: time(), text, provenance };
        let chain = group::chain(&room(), &user(name), std::slice::from_ref(&line)).unwrap();
        line.provenance.signature = Some(group::sign(&key(name), &chain.tip()));
        line
    }

    #[test]
    #[ignore = "fails until a far time is not believed"]
    fn far_time_raises_no_clock_and_hides_no_message() {
        let (mut ana, mut bob) = (ledger(ANA), ledger(BOB));
        let far = at_time(CARLA, LAMPORT_MAX, "far");
        let first = say(&mut ana, &room(), &["1", "2"], &[BOB, CARLA]);
        // One hears it before the others, one after them.
        hear(&mut bob, CARLA, &room(), std::slice::from_ref(&far));
        hear(&mut bob, ANA, &room(), &first);
        hear(&mut ana, CARLA, &room(), &[far]);
        let answer = say(&mut bob, &room(), &["3"], &[ANA, CARLA]);
        hear(&mut ana, BOB, &room(), &answer);
        let last = say(&mut ana, &room(), &["4"], &[BOB, CARLA]);
        hear(&mut bob, ANA, &room(), &last);
        assert_eq!(kept(&mut ana, &room()), ["far", "1", "2", "3", "4"]);
        assert_eq!(kept(&mut bob, &room()), kept(&mut ana, &room()));
        assert_eq!(ana.recent(&room(), 1)[0].text, "4");
        assert_eq!(last[0].provenance.lamport, 4);
    }
}
