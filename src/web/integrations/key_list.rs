//! The page itself, and the list as a fragment.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    answers::{SECTION, list_page_of, no_such_key},
    protect_your_api::{ProtectYourApi, protect_your_api},
    usage::UsageView,
};
use crate::{
    actions::{
        list_keys::{KeyPage, PER_PAGE, list_keys},
        resume_session::Viewer,
    },
    app::Site,
    domain::{ids::KeyId, permission::Permission, usage::KeyWithUsage},
    middleware::failure::Failure,
    web::{
        htmx::{self, Fragments},
        page::{Page, Toast},
        relative_time,
        return_path::HOME,
        see_other, session,
    },
};

#[derive(Template)]
#[template(path = "integrations/index.html")]
struct IntegrationsPage {
    page: Page,
    organization_id: String,
    list: KeyList,
    protect: ProtectYourApi,
}

/// The whole of `#key-list`.
#[derive(Template)]
#[template(path = "integrations/_key_list.html")]
struct KeyListFragment<'a> {
    list: &'a KeyList,
}

/// The table and what stands below it.
#[derive(Template)]
#[template(path = "integrations/_key_rows.html")]
struct KeyRowsFragment<'a> {
    list: &'a KeyList,
}

/// The button beside the heading; an empty list carries it itself.
#[derive(Template)]
#[template(path = "integrations/_key_actions.html")]
struct KeyActionsFragment<'a> {
    list: &'a KeyList,
}

/// One page of the list, ready to be shown.
pub struct KeyList {
    pub brand: String,
    pub organization: String,
    pub rows: Vec<KeyRow>,
    /// Whether whoever looks may create keys.
    pub may_create: bool,
    /// Whether they may rotate and revoke them.
    pub may_change: bool,
    /// Keys of this page without a row here: theirs in the database is damaged.
    pub damaged: i64,
    pub total: i64,
    pub page: i64,
    /// Position of the first row, from 1.
    pub first: i64,
    /// Position of the last row.
    pub last: i64,
    pub previous: Option<i64>,
    pub next: Option<i64>,
}

/// One key, ready to be shown.
pub struct KeyRow {
    pub id: String,
    pub name: String,
    pub creator: String,
    /// With the underscore that follows it in a key.
    pub prefix: String,
    pub last4: String,
    pub created: String,
    pub created_iso: String,
    pub created_title: String,
    pub version: i64,
    pub usage: UsageView,
    /// Just made or rotated: shown in another colour for a moment.
    pub fresh: bool,
}

impl KeyList {
    fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn new(site: &Site, viewer: &Viewer, list: KeyPage, fresh: Option<&KeyId>) -> Self {
        let KeyPage { keys, damaged, total, page, pages } = list;
        let before = (page - 1) * PER_PAGE;
        let now = site.clock.now();
        let shown = i64::try_from(keys.len()).unwrap_or(PER_PAGE);
        Self {
            brand: site.config.brand.to_string(),
            organization: viewer.organization_name.to_string(),
            may_create: viewer.authority.may(Permission::CreateKeys),
            may_change: viewer.authority.may(Permission::ChangeKeys),
            damaged,
            total,
            page,
            first: before + 1,
            last: before + shown + damaged,
            previous: (page > 1).then(|| page - 1),
            next: (page < pages).then(|| page + 1),
            rows: keys
                .iter()
                .map(|key| KeyRow { fresh: Some(&key.key.id) == fresh, ..KeyRow::new(key, now) })
                .collect(),
        }
    }
}

impl KeyRow {
    pub fn new(key_with_usage: &KeyWithUsage, now: DateTime<Utc>) -> Self {
        let key = &key_with_usage.key;
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            creator: key.created_by.label().to_owned(),
            prefix: format!("{}_", key.prefix.as_str()),
            last4: key.hint.as_str().to_owned(),
            created: key.created_at.format("%b %-d, %Y").to_string(),
            created_iso: key.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            created_title: relative_time::exact(key.created_at),
            version: key.version,
            usage: UsageView::new(key_with_usage, now),
            fresh: false,
        }
    }
}

/// `GET /settings/integrations`
pub async fn show_page(
    site: web::Data<Site>,
    session: Session,
    request: HttpRequest,
    viewer: Viewer,
) -> Result<HttpResponse, Failure> {
    let list = list_keys(&site.keys, &viewer.authority, list_page_of(&request)).await?;
    let mut page = Page::of_settings(&site, &request, &viewer, SECTION);
    page.toasts.extend(session::take_toast(&session));
    let list = KeyList::new(&site, &viewer, list, None);
    let organization_id = viewer.authority.organization_id().to_string();
    let protect = protect_your_api(&site)?;
    htmx::page(StatusCode::OK, &IntegrationsPage { page, organization_id, list, protect })
}

/// `GET /settings/integrations/keys`: the rows for htmx; a page for whoever asks without.
pub async fn show_rows(site: web::Data<Site>, request: HttpRequest, viewer: Viewer) -> Result<HttpResponse, Failure> {
    if !htmx::is_htmx(&request) {
        let query = request.query_string();
        return Ok(see_other(&if query.is_empty() { HOME.to_owned() } else { format!("{HOME}?{query}") }));
    }
    let list = list_keys(&site.keys, &viewer.authority, list_page_of(&request)).await?;
    let list = KeyList::new(&site, &viewer, list, None);
    htmx::fragment(&KeyRowsFragment { list: &list })
}

/// Adds the list as it now is to an answer, wherever the page shows it. The change is made by then, so a list that cannot
/// be read is left out: the answer may carry the only copy of a key.
pub async fn add_list(
    site: &Site,
    viewer: &Viewer,
    list_page: i64,
    fresh: Option<&KeyId>,
    answer: Fragments,
) -> Result<Fragments, Failure> {
    let list = match list_keys(&site.keys, &viewer.authority, list_page).await {
        Ok(list) => KeyList::new(site, viewer, list, fresh),
        Err(error) => {
            tracing::warn!(%error, "the list could not be read; the page keeps the old one");
            return Ok(answer);
        }
    };
    answer.partial("#key-list", "outerHTML", &KeyListFragment { list: &list })?.partial(
        "#key-actions",
        "innerHTML",
        &KeyActionsFragment { list: &list },
    )
}

/// The answer for a key that is gone, with the list as it now is: its row must not stay on the page.
pub async fn key_gone(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    list_page: i64,
) -> Result<HttpResponse, Failure> {
    let failure = no_such_key();
    if !htmx::is_htmx(request) {
        return Err(failure);
    }
    let list = add_list(site, viewer, list_page, None, Fragments::default()).await?;
    Ok(htmx::toast_answer(failure.status, Toast::of_failure(&failure), list))
}

#[cfg(test)]
mod tests {
    use askama::Template;
    use chrono::DateTime;

    use super::*;
    use crate::domain::{
        actor::Actor, api_key::ApiKey, ids::OrgId, name::Name, secret::KeyPrefix, secret::Secret, usage::KeyUsage,
    };

    fn list(keys: usize, may: bool) -> KeyList {
        let now = DateTime::UNIX_EPOCH;
        let prefix = KeyPrefix::parse("talvin_live").unwrap();
        let key = || ApiKey {
            id: KeyId::generate(now),
            organization_id: OrgId::generate(now),
            name: Name::parse("Production").unwrap(),
            prefix: prefix.clone(),
            hint: Secret::generate(&prefix).unwrap().hint(),
            created_by: (&Actor::CommandLine).into(),
            created_at: now,
            revoked_at: None,
            version: 1,
        };
        let row = |_| KeyRow::new(&KeyWithUsage { key: key(), usage: KeyUsage::default() }, now);
        KeyList {
            brand: "Talvin AI".to_owned(),
            organization: "Acme".to_owned(),
            rows: (0..keys).map(row).collect(),
            may_create: may,
            may_change: may,
            damaged: 0,
            total: keys as i64,
            page: 1,
            first: 1,
            last: keys as i64,
            previous: None,
            next: None,
        }
    }

    #[test]
    fn whoever_may_only_look_is_offered_nothing_else() {
        for (keys, may) in [(0, true), (0, false), (2, true), (2, false)] {
            let list = list(keys, may);
            let shown = KeyListFragment { list: &list }.render().unwrap();
            let actions = KeyActionsFragment { list: &list }.render().unwrap();
            let offers = |what: &str| shown.contains(what) || actions.contains(what);
            assert_eq!(offers("/keys/new"), may, "{keys} {may}");
            assert_eq!(offers("/rotate"), may && keys > 0, "{keys} {may}");
            assert_eq!(offers("/revoke"), may && keys > 0, "{keys} {may}");
            assert_eq!(offers("Actions</th>"), may && keys > 0, "{keys} {may}");
            assert!(shown.matches("Production").count() >= keys);
        }
    }
}
