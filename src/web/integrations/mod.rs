//! Settings → Integrations: the organization's id and its API keys.

mod answers;
mod change;
mod create_key;
mod key_list;
mod protect_your_api;
mod reveal_key;
mod revoke_key;
mod rotate_key;
mod usage;

use actix_web::web;

/// The routes of this module, under `/settings`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/integrations")
            .service(web::resource("").route(web::get().to(key_list::show_page)))
            .service(
                web::resource("/keys")
                    .route(web::get().to(key_list::show_rows))
                    .route(web::post().to(create_key::submit)),
            )
            .service(web::resource("/keys/new").route(web::get().to(create_key::show)))
            .service(web::resource("/changes/{change}").route(web::get().to(change::show)))
            .service(web::resource("/keys/{id}/revoking").route(web::get().to(change::show_revoking)))
            .service(
                web::resource("/keys/{id}/rotate")
                    .route(web::get().to(rotate_key::show))
                    .route(web::post().to(rotate_key::submit)),
            )
            .service(
                web::resource("/keys/{id}/revoke")
                    .route(web::get().to(revoke_key::show))
                    .route(web::post().to(revoke_key::submit)),
            ),
    );
}
