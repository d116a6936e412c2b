//! Receipts in words, for people.

use std::{fmt, time::Duration};

use super::{Receipt, ReceiptProgress};

/// "Refused on 3 of 3 nodes after 41 ms."
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { confirmed, nodes, after, is_lost } = self;
        if *is_lost {
            return f.write_str(
                "The database was restored or replaced meanwhile, and this change may not be in it. Reload the page to see what \
                 holds; if the key still works, do it again.",
            );
        }
        let time = match after.as_millis() {
            milliseconds @ ..1_000 => format!("{milliseconds} ms"),
            milliseconds => format!("{}.{} s", milliseconds / 1_000, milliseconds / 100 % 10),
        };
        let Some(nodes) = nodes else {
            let here = if *confirmed == 0 { "This node has not confirmed it" } else { "Refused on this node" };
            return write!(
                f,
                "{here} after {time}. The database cannot be asked about the other nodes; those without this change answer nobody."
            );
        };
        let unit = if *nodes == 1 { "node" } else { "nodes" };
        let refused = format!("Refused on {confirmed} of {nodes} {unit} after {time}.");
        match (confirmed, nodes - confirmed) {
            (_, 0) => f.write_str(&refused),
            // Nobody said anything, so nobody can have answered from before the change for longer than this.
            (0, 1) => write!(f, "The server cannot read its database; until it can, it answers nobody. {refused}"),
            (0, _) => write!(f, "No node can read the database; until they can, they answer nobody. {refused}"),
            (_, 1) => write!(f, "{refused} The other one is cut off and answers nobody."),
            (_, others) => write!(f, "{refused} The other {others} are cut off and answer nobody."),
        }
    }
}

/// "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds."
impl fmt::Display for ReceiptProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { confirmed, nodes, at_most } = self;
        let refused = match nodes {
            None if *confirmed == 0 => "This node has not confirmed it yet".to_owned(),
            None => "Refused on this node".to_owned(),
            Some(1) => format!("Refused on {confirmed} of 1 node"),
            Some(nodes) => format!("Refused on {confirmed} of {nodes} nodes"),
        };
        let in_time = match in_seconds(*at_most) {
            0 => return write!(f, "{refused}."),
            1 => "in at most 1 second".to_owned(),
            seconds => format!("in at most {seconds} seconds"),
        };
        let Some(nodes) = nodes else {
            return write!(f, "{refused}; nodes without this change answer nobody {in_time}.");
        };
        match (nodes.saturating_sub(*confirmed), nodes) {
            // This one knows it and says so in a moment.
            (0, _) => write!(f, "{refused}; sure {in_time}."),
            (1, 1) => write!(f, "{refused}; it answers nobody {in_time}."),
            (1, 2) => write!(f, "{refused}; the other answers nobody {in_time}."),
            (1, 3) => write!(f, "{refused}; the third answers nobody {in_time}."),
            (1, _) => write!(f, "{refused}; the last answers nobody {in_time}."),
            (others, _) => write!(f, "{refused}; the other {others} answer nobody {in_time}."),
        }
    }
}

/// Rounded up.
fn in_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_what_is_known() {
        let says = |confirmed, nodes, ms| {
            let after = Duration::from_millis(ms);
            Receipt { confirmed, nodes: Some(nodes), after, is_lost: false }.to_string()
        };
        let of_unknown =
            |confirmed| Receipt { confirmed, nodes: None, after: Duration::from_secs(10), is_lost: false }.to_string();
        assert_eq!(says(3, 3, 41), "Refused on 3 of 3 nodes after 41 ms.");
        assert_eq!(says(1, 1, 2), "Refused on 1 of 1 node after 2 ms.");
        assert_eq!(
            says(2, 3, 9_870),
            "Refused on 2 of 3 nodes after 9.8 s. The other one is cut off and answers nobody."
        );
        assert!(says(1, 3, 5).ends_with("The other 2 are cut off and answer nobody."));
        assert!(
            says(0, 1, 10_000).starts_with("The server cannot read its database; until it can, it answers nobody.")
        );
        assert!(says(0, 3, 10_000).starts_with("No node can read the database;"));
        assert!(of_unknown(1).starts_with("Refused on this node after 10.0 s. "), "{}", of_unknown(1));
        assert!(of_unknown(0).starts_with("This node has not confirmed it after 10.0 s. "), "{}", of_unknown(0));
        let lost = Receipt { confirmed: 3, nodes: Some(3), after: Duration::ZERO, is_lost: true }.to_string();
        assert!(!lost.contains("Refused"), "{lost}");
    }

    #[test]
    fn what_is_waited_for_is_said_without_claiming_more() {
        let says = |confirmed, nodes, ms| {
            ReceiptProgress { confirmed, nodes: Some(nodes), at_most: Duration::from_millis(ms) }.to_string()
        };
        assert_eq!(says(2, 3, 7_000), "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds.");
        assert_eq!(says(2, 3, 6_001), "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds.");
        assert_eq!(says(1, 3, 900), "Refused on 1 of 3 nodes; the other 2 answer nobody in at most 1 second.");
        assert_eq!(says(1, 2, 2_000), "Refused on 1 of 2 nodes; the other answers nobody in at most 2 seconds.");
        assert_eq!(says(0, 1, 2_000), "Refused on 0 of 1 node; it answers nobody in at most 2 seconds.");
        assert_eq!(says(4, 5, 2_000), "Refused on 4 of 5 nodes; the last answers nobody in at most 2 seconds.");
        assert_eq!(says(3, 3, 0), "Refused on 3 of 3 nodes.");
        let of_unknown =
            |confirmed| ReceiptProgress { confirmed, nodes: None, at_most: Duration::from_secs(2) }.to_string();
        let waits = "nodes without this change answer nobody in at most 2 seconds.";
        assert_eq!(of_unknown(1), format!("Refused on this node; {waits}"));
        assert_eq!(of_unknown(0), format!("This node has not confirmed it yet; {waits}"));
    }
}
