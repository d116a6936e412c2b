//! The tables, as `migrations/` makes them on both databases.

diesel::table! {
    installation (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    organizations (id) {
        id -> Text,
        name -> Text,
        created_at -> BigInt,
        key_prefix -> Nullable<Text>,
        max_keys -> Nullable<BigInt>,
        max_rotations_per_day -> Nullable<BigInt>,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        email -> Text,
        email_folded -> Text,
        name -> Text,
        password_hash -> Text,
        device_epoch -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    memberships (organization_id, user_id) {
        organization_id -> Text,
        user_id -> Text,
        role -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    half_sessions (digest) {
        digest -> Binary,
        state -> Text,
        expires_at -> BigInt,
    }
}

diesel::table! {
    sessions (digest) {
        digest -> Binary,
        id -> Text,
        user_id -> Text,
        state -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        organization_id -> Text,
        name -> Text,
        name_folded -> Text,
        prefix -> Text,
        hint -> Text,
        created_by -> Nullable<Text>,
        created_by_kind -> Nullable<Text>,
        created_by_id -> Nullable<Text>,
        created_by_name -> Nullable<Text>,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        version -> BigInt,
        expires_at -> Nullable<BigInt>,
        number -> BigInt,
        policy -> Nullable<Text>,
    }
}

diesel::table! {
    key_secrets (digest) {
        digest -> Binary,
        digest_scheme -> Text,
        key_id -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    form_tokens (organization_id, token) {
        organization_id -> Text,
        token -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    audit_events (id) {
        id -> Text,
        organization_id -> Nullable<Text>,
        at -> BigInt,
        action -> Text,
        actor_kind -> Text,
        actor_id -> Nullable<Text>,
        actor_name -> Nullable<Text>,
        user_id -> Nullable<Text>,
        user_name -> Nullable<Text>,
        key_id -> Nullable<Text>,
        key_name -> Nullable<Text>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        request_id -> Nullable<Text>,
        seq -> Nullable<BigInt>,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    organization_today (organization_id) {
        organization_id -> Text,
        day -> BigInt,
        keys_created -> BigInt,
        rotations -> BigInt,
    }
}

diesel::table! {
    key_epoch (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    key_changes (epoch, key_id) {
        epoch -> BigInt,
        key_id -> Text,
        mark -> Text,
        is_removal -> BigInt,
    }
}

diesel::table! {
    nodes (id) {
        id -> Text,
        started_at -> BigInt,
        applied_epoch -> BigInt,
        applied_mark -> Text,
        renewal -> BigInt,
        lease_ms -> BigInt,
        lease_until -> BigInt,
        generation -> BigInt,
    }
}

diesel::table! {
    key_usage_open (starts_at, key_number, code) {
        starts_at -> BigInt,
        key_number -> BigInt,
        code -> Text,
        count -> BigInt,
        at -> Nullable<BigInt>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    key_usage (key_id, seconds, starts_at, code) {
        key_id -> Text,
        seconds -> BigInt,
        starts_at -> BigInt,
        code -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    key_last_used (key_id) {
        key_id -> Text,
        at -> BigInt,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    usage_flushes (writer) {
        writer -> Text,
        number -> BigInt,
        at -> BigInt,
    }
}

diesel::joinable!(memberships -> organizations (organization_id));
diesel::joinable!(memberships -> users (user_id));
diesel::joinable!(api_keys -> users (created_by));
diesel::joinable!(key_secrets -> api_keys (key_id));
diesel::allow_tables_to_appear_in_same_query!(
    organizations,
    users,
    memberships,
    sessions,
    api_keys,
    key_secrets,
    key_usage_open,
    key_usage,
    key_last_used
);
diesel::allow_tables_to_appear_in_same_query!(key_epoch, key_changes, nodes);
