//! The sections of the settings: what the navigation, the breadcrumb, a pop-up as a page and `app.js` know of each.

/// A section of the settings; each has an entry in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The organization's id and its API keys.
    Integrations,
}

impl Section {
    /// In the order of the navigation; the first is where everybody starts.
    pub const ALL: [Self; 1] = [Self::Integrations];

    /// Where everybody starts.
    pub const HOME: Self = Self::ALL[0];

    /// In the navigation, the breadcrumb, the title of the page and its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Integrations => "Integrations",
        }
    }

    /// The address of its page.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Integrations => "/settings/integrations",
        }
    }

    /// Its picture in the sprite.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Integrations => "plug",
        }
    }
}
