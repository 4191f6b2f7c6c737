//! How the document is made: paths and shapes come from the routes, access and failures from the table of rules, so that
//! neither can be forgotten at a route.

use serde_json::{Value, json};
use utoipa::OpenApi as _;

use crate::{
    access::{Access, rule},
    error::Problem,
    session, wire,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Fleetgate",
        description = "Machines of all your RMMs in one register. Every id has a prefix, every time is RFC 3339 in UTC.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(
        Problem,
        wire::Offer,
        wire::ClientId,
        wire::SiteId,
        wire::IntegrationId,
        wire::OrganizationId,
        wire::AssetId,
        wire::SyncRunId,
        wire::ProposalId,
        wire::AuditId,
        wire::ActorKind,
        wire::Outcome,
        wire::TokenId,
        wire::UserId,
        wire::RoleId,
        wire::SessionId,
        wire::RoleKey,
        wire::Time,
        wire::AssetType,
        wire::AssetOrder,
        wire::Status,
        wire::RunKind,
        wire::RunState,
        wire::MappingState,
    )),
    tags(
        (name = "account", description = "Set-up, sign-in, tokens"),
        (name = "audit", description = "Who did what"),
        (name = "people", description = "Users, roles and their sign-ins"),
        (name = "integrations", description = "Connections to RMMs and their syncs"),
        (name = "organizations", description = "What an RMM's organizations are mapped to"),
        (name = "clients", description = "Customers"),
        (name = "assets", description = "Machines"),
        (name = "server", description = "The server itself"),
    ),
)]
struct Head;

/// The document without paths.
pub(crate) fn head() -> utoipa::openapi::OpenApi {
    Head::openapi()
}

/// The finished document as text; the same for the same routes.
pub(crate) fn text(document: utoipa::openapi::OpenApi) -> String {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Adds what every route of a kind has in common.
fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": session::SECURE_COOKIE,
            "description": "A sign-in of a browser. Changes need `Sec-Fetch-Site` or `Origin` of this server. \
                            Over plain http the cookie is named `fleetgate`.",
        },
        "token": { "type": "http", "scheme": "bearer", "description": "A token of kind `user`, `fgu_…`." },
    });
    for (_, name, description) in FAILURES {
        document["components"]["responses"][name] =
            json!({ "description": description, "content": problem_content() });
    }
    complete_schemas(document);
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        for (method, operation) in item {
            let access = rule(&method.to_ascii_uppercase(), path);
            complete_operation(path, access, operation);
        }
    }
}

/// Lists refer to their items instead of repeating them, and answers have all their fields, some of them null. Only
/// what comes in (it refuses unknown fields) and problems may leave fields out.
fn complete_schemas(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in schemas {
        if let Some(item) = name.strip_prefix("List_") {
            schema["properties"]["items"]["items"] =
                json!({ "$ref": format!("#/components/schemas/{item}") });
        }
        if schema["additionalProperties"] == json!(false) || name == "Problem" {
            continue;
        }
        require_all(schema);
        for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            require_all(part);
        }
    }
}

fn require_all(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let names: Vec<&String> = properties.keys().collect();
        schema["required"] = json!(names);
    }
}

/// Failures that many routes share: status, name, description.
const FAILURES: [(&str, &str, &str); 9] = [
    ("400", "Unreadable", "A parameter, the JSON or a field cannot be read"),
    ("401", "NotSignedIn", "Not signed in, or the token is not accepted"),
    (
        "403",
        "Forbidden",
        "A permission is missing, the sign-in is limited, or the request came from another site",
    ),
    ("404", "NotFound", "Nothing by this id"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "OtherType", "The body is of another content type"),
    ("422", "Refused", "Understood but refused"),
    ("500", "Internal", "A bug on our side; the log names the cause"),
    ("503", "Unavailable", "The database cannot be used now"),
];

fn problem_content() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
}

fn complete_operation(path: &str, access: Option<Access>, operation: &mut Value) {
    let mut statuses = vec!["500"];
    operation["security"] = match access {
        Some(Access::Open) | None => json!([]),
        Some(Access::SignedIn | Access::Needs(_)) => json!([{ "cookie": [] }, { "token": [] }]),
    };
    if let Some(Access::Needs(permission)) = access {
        operation["x-permission"] = json!(permission.name());
    }
    if access != Some(Access::Open) {
        statuses.extend(["401", "403", "503"]);
    }
    if path.contains("{id}") {
        statuses.push("404");
    }
    if operation.get("parameters").is_some() || operation.get("requestBody").is_some() {
        statuses.push("400");
    }
    if operation.get("requestBody").is_some() {
        statuses.extend(["413", "415", "422"]);
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    // What a route declares itself is said in its own words.
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])) {
        response["content"] = problem_content();
    }
    for (status, name, _) in FAILURES.iter().filter(|(status, _, _)| statuses.contains(status)) {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(*status).or_insert(reference);
    }
}
