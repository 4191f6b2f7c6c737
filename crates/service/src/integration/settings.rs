//! Settings of an integration: merged field by field, so that saving one never erases another.

use domain::{
    device::clean_text,
    integration::{CustomField, IntegrationSettings, OF_SOME_PROVIDERS},
};
use provider::Descriptor;
use serde_json::{Map, Value};

use crate::error::{Result, ServiceError};

const CUSTOM_FIELDS: &str = "custom_fields";

/// The saved settings with the changes laid over. Custom fields are merged one by one.
pub(super) fn merge(
    descriptor: &Descriptor,
    saved: &IntegrationSettings,
    changes: Option<&Value>,
) -> Result<IntegrationSettings> {
    let Some(changes) = changes else { return Ok(saved.clone()) };
    let changes = changes.as_object().ok_or_else(|| {
        ServiceError::invalid("settings", "setting_unusable", "settings are an object of names and values")
    })?;
    let mut merged = serde_json::to_value(saved).map_err(|error| ServiceError::Internal(Box::new(error)))?;
    if let Some(target) = merged.as_object_mut() {
        for (name, value) in changes {
            refuse_foreign(descriptor, name)?;
            if name == CUSTOM_FIELDS {
                merge_custom_fields(target, value)?;
            } else {
                target.insert(name.clone(), value.clone());
            }
        }
    }
    let mut settings: IntegrationSettings = serde_json::from_value(merged)
        .map_err(|error| ServiceError::invalid("settings", "setting_unusable", error.to_string()))?;
    for field in settings.custom_fields.values_mut() {
        field.name = field.name.as_deref().and_then(clean_text);
    }
    settings.custom_fields.retain(|_, field| *field != CustomField::default());
    settings.check().map_err(|wrong| {
        ServiceError::invalid(&format!("settings.{}", wrong.setting), "setting_unusable", wrong.message)
    })?;
    Ok(settings)
}

/// A setting that only some RMMs have, and not this one, would be saved and do nothing.
fn refuse_foreign(descriptor: &Descriptor, name: &str) -> Result<()> {
    if !OF_SOME_PROVIDERS.contains(&name) || descriptor.settings.contains(&name) {
        return Ok(());
    }
    let has = match descriptor.settings {
        [] => "it has only the settings that every integration has".to_owned(),
        own => format!("of its own it has: {}", own.join(", ")),
    };
    let message = format!("{} has no setting `{name}`; {has}", descriptor.name);
    Err(ServiceError::invalid(&format!("settings.{name}"), "setting_of_another_rmm", message))
}

fn merge_custom_fields(target: &mut Map<String, Value>, changes: &Value) -> Result<()> {
    let unusable = |message: String| {
        ServiceError::invalid(&format!("settings.{CUSTOM_FIELDS}"), "setting_unusable", message)
    };
    let changes = changes.as_object().ok_or_else(|| {
        unusable(format!(
            "`{CUSTOM_FIELDS}` is an object of keys and fields, as in {{\"field1\": {{\"name\": \"Asset tag\", \"shown\": true}}}}"
        ))
    })?;
    let Some(known) = target.get_mut(CUSTOM_FIELDS).and_then(Value::as_object_mut) else { return Ok(()) };
    for (key, change) in changes {
        match change {
            Value::Object(parts) => {
                let field = known.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if let Some(field) = field.as_object_mut() {
                    field.extend(parts.clone());
                }
            }
            _ => {
                return Err(unusable(format!(
                    "the custom field `{key}` is an object with `name` and `shown`"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use provider::StatusWords;
    use serde_json::json;

    use super::*;

    static OWN: Descriptor = Descriptor {
        id: "fake",
        name: "Fake RMM",
        icon: "fake",
        url_label: "URL",
        url_alias: "URL",
        url_example: "https://fake.example.com",
        organization_words: ("site", "sites"),
        device_words: ("device", "devices"),
        auth_modes: &[],
        token_secret: None,
        account_field: None,
        status_words: StatusWords::OnlineOffline,
        rate_limit: None,
        settings: &["custom_fields", "rate_share_percent"],
        documentation: "docs",
    };

    #[track_caller]
    fn merged(saved: &IntegrationSettings, changes: Value) -> IntegrationSettings {
        merge(&OWN, saved, Some(&changes)).unwrap()
    }

    #[track_caller]
    fn refused(changes: Value, code: &str, says: &str) {
        let error = merge(&OWN, &IntegrationSettings::default(), Some(&changes)).unwrap_err();
        let ServiceError::Invalid { code: found, message, .. } = error else { panic!("{error:?}") };
        assert_eq!(found, code, "{message}");
        assert!(message.contains(says), "{message}");
    }

    #[test]
    fn custom_fields_are_merged_one_by_one_and_part_by_part() {
        let usual = IntegrationSettings::default();
        let one = merged(
            &usual,
            json!({ "custom_fields": { "udf3": { "name": " Asset\u{7}tag ", "shown": true } } }),
        );
        let two = merged(
            &one,
            json!({ "custom_fields": { "udf4": { "shown": true }, "udf3": { "shown": false } } }),
        );
        let field = |name: Option<&str>, shown| CustomField { name: name.map(str::to_owned), shown };
        assert_eq!(one.custom_fields["udf3"], field(Some("Asset tag"), true));
        assert_eq!(two.custom_fields["udf3"], field(Some("Asset tag"), false), "the name stays");
        assert_eq!(two.custom_fields["udf4"], field(None, true));
        let three = merged(
            &two,
            json!({ "custom_fields": { "udf3": { "name": null }, "udf4": { "shown": false } } }),
        );
        assert!(three.custom_fields.is_empty(), "{three:?}");
        assert_eq!(merge(&OWN, &one, None).unwrap(), one);
    }

    #[test]
    fn settings_of_another_rmm_and_unusable_ones_are_refused_with_the_reason() {
        refused(
            json!({ "include_deleted": true }),
            "setting_of_another_rmm",
            "custom_fields, rate_share_percent",
        );
        refused(json!({ "rate_share_percent": 91 }), "setting_unusable", "between 1 and 90");
        refused(json!({ "custom_fields": [] }), "setting_unusable", "object");
        refused(json!({ "custom_fields": { "udf3": true } }), "setting_unusable", "`udf3`");
        refused(json!({ "custom_fields": { "udf3": { "hidden": 1 } } }), "setting_unusable", "hidden");
        refused(json!({ "custom_fields": { "a b": { "shown": true } } }), "setting_unusable", "letters");
        refused(json!({ "custom_fields": { "x": { "name": "n".repeat(101) } } }), "setting_unusable", "100");
        refused(json!({ "nothing": 1 }), "setting_unusable", "nothing");
        refused(json!(7), "setting_unusable", "object");
    }

    #[test]
    fn settings_of_every_integration_are_in_no_list_of_some() {
        let all = serde_json::to_value(IntegrationSettings::default()).unwrap();
        for name in OF_SOME_PROVIDERS {
            assert!(all.get(name).is_some(), "{name}");
        }
        let every =
            merged(&IntegrationSettings::default(), json!({ "sync_interval_s": 900, "merge_exact": true }));
        assert!(every.merge_exact && every.sync_interval_s == 900);
    }
}
