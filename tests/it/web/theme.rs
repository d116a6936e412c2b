//! `/theme`

use crate::support::TestApp;

#[tokio::test]
async fn a_chosen_theme_stands_on_every_page_from_then_on() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    assert!(maya.get("/settings/integrations").await.attributes("html", "data-theme").is_empty());
    for theme in ["dark", "light"] {
        let answer = maya.post("/theme", &[("theme", theme), ("return_to", "/settings/integrations?page=1")]).await;
        assert_eq!(answer.expect(303).header("location"), "/settings/integrations?page=1");
        for path in ["/settings/integrations", "/settings/integrations/keys/new", "/nowhere"] {
            assert_eq!(maya.get(path).await.attribute("html", "data-theme"), theme, "{path}");
        }
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_may_choose_too() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let answer = visitor.post("/theme", &[("theme", "dark"), ("return_to", "/sign-in")]).await.expect(303);
    let cookie = answer.header("set-cookie");
    for attribute in ["theme=dark", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert_eq!(visitor.get("/sign-in").await.attribute("html", "data-theme"), "dark");
}

#[tokio::test]
async fn an_unknown_theme_is_the_systems() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    for theme in ["", "system", "blue", "DARK", "dark\"><script>"] {
        visitor.post("/theme", &[("theme", "dark")]).await.expect(303);
        visitor.post("/theme", &[("theme", theme)]).await.expect(303);
        assert!(visitor.get("/sign-in").await.attributes("html", "data-theme").is_empty(), "{theme}");
    }
}

#[tokio::test]
async fn a_cookie_with_another_value_is_ignored() {
    let app = TestApp::start().await;
    for cookie in ["theme=blue", "theme=", "theme=%22%3E%3Cscript%3E", "theme=dark; theme=light", "th%65me=dark"] {
        let visitor = app.anonymous();
        for path in ["/sign-in", "/nowhere"] {
            let request = visitor.request(reqwest::Method::GET, path).header("cookie", cookie);
            assert!(visitor.send(request).await.attributes("html", "data-theme").is_empty(), "{cookie} at {path}");
        }
    }
}

#[tokio::test]
async fn the_way_back_never_leads_to_another_site() {
    let app = TestApp::start().await;
    for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", ""] {
        let answer = app.anonymous().post("/theme", &[("theme", "dark"), ("return_to", elsewhere)]).await.expect(303);
        assert_eq!(answer.header("location"), "/settings/integrations", "{elsewhere:?}");
    }
}

#[tokio::test]
async fn a_form_without_a_theme_is_refused() {
    let app = TestApp::start().await;
    app.anonymous().post("/theme", &[]).await.expect(400);
}
