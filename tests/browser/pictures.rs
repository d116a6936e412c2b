//! Draws every state, in both themes, on a desk and on a phone, into the folder named by `KEYSTEAD_SCREENSHOTS`.

use std::path::PathBuf;

use crate::{
    harness::{Admin, Kit},
    tour,
};

#[test]
fn every_state_has_its_picture() {
    let Some(folder) = folder() else { return };
    std::fs::create_dir_all(&folder).expect("the folder for the pictures");
    let mut draw = |maya: &Admin, state: &str| {
        for (width, height) in [(1360, 900), (390, 844)] {
            for theme in ["light", "dark"] {
                maya.resize(width, height);
                maya.theme(theme);
                maya.settle();
                let path = folder.join(format!("{state}-{theme}-{width}.png"));
                std::fs::write(path, maya.screenshot()).expect("the picture is written");
            }
        }
        maya.resize(1360, 900);
        maya.theme("light");
    };
    tour::signed_out(|_| {}, &mut draw);
    tour::with_dialogs(|_| {}, &mut draw);
    tour::as_pages(Kit { no_scripts: true, ..Kit::default() }, |_| {}, &mut draw);
}

/// Nothing is drawn unless somebody asked for it.
#[allow(clippy::disallowed_methods)] // no setting of the server
fn folder() -> Option<PathBuf> {
    std::env::var_os("KEYSTEAD_SCREENSHOTS").map(PathBuf::from)
}
