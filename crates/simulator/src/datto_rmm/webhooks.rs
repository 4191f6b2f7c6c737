//! The sender of webhooks: placeholders are replaced as text, without any escaping, as Datto is believed to do.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::timestamp;
use crate::datto_rmm::alerts::Alert;
use crate::datto_rmm::world::World;
use crate::delivery::Webhook;

/// Where webhooks go and what they say; set through the control handle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhooks {
    /// The receiver; loopback only.
    pub url: String,
    /// Headers of every delivery.
    pub headers: Map<String, Value>,
    /// Body when an alert is raised, with placeholders like `[alert_uid]`.
    pub raised: String,
    /// Body when it is resolved; without it nothing is sent then.
    pub resolved: Option<String>,
    /// How many times each is delivered; 0 and 1 are once.
    pub copies: u8,
    /// Whether deliveries get lost on their way.
    pub is_lossy: bool,
}

impl Webhooks {
    /// A delivery with that body.
    pub(crate) fn with(&self, body: String) -> Webhook {
        let mut headers = self.headers.clone();
        headers.entry("Content-Type").or_insert_with(|| "application/json".into());
        Webhook {
            method: "POST".into(),
            url: self.url.clone(),
            agent: "Datto-RMM",
            headers,
            body: Some(body),
        }
    }

    /// What the test button sends: placeholders as they are.
    pub(crate) fn test(&self) -> Webhook {
        self.with(self.raised.clone())
    }
}

/// What a placeholder stands for.
fn values(world: &World, alert: &Alert, message: &str) -> Vec<(&'static str, String)> {
    let device = world.devices.get(alert.device as usize);
    let site = device.and_then(|device| world.sites.get(&device.site));
    let machine = device.map(|device| &device.machine);
    let of = |text: Option<&str>| text.unwrap_or("").to_owned();
    let site_name = of(site.map(|site| site.name.as_str()));
    let class = alert.context["@class"].as_str().unwrap_or("");
    vec![
        ("alert_uid", alert.uid.clone()),
        ("alert_type", class.to_owned()),
        ("alert_category", class.trim_end_matches("_ctx").to_owned()),
        ("alert_priority", alert.priority.to_owned()),
        ("alert_message_en", message.to_owned()),
        ("alert_message", message.to_owned()),
        ("alert", message.to_owned()),
        ("device_uid", of(device.map(|device| &*device.uid))),
        ("device_id", device.map_or_else(String::new, |device| device.id().to_string())),
        ("device_hostname", of(machine.map(|machine| &*machine.hostname))),
        ("device_description", of(machine.and_then(|machine| machine.description.as_deref()))),
        ("device_ip", machine.map_or_else(String::new, crate::fleet::Machine::local_ip)),
        ("device_os", of(machine.and_then(|machine| machine.os.as_deref()))),
        ("last_user", of(machine.and_then(|machine| machine.user.as_deref()))),
        ("site_uid", of(site.map(|site| site.uid.as_str()))),
        ("site_id", site.map_or_else(String::new, |site| site.id.to_string())),
        ("site_name", site_name.clone()),
        ("sitename", site_name),
        ("platform", "sim".to_owned()),
    ]
}

/// A template with its placeholders replaced; unknown ones stay.
pub(crate) fn fill(world: &World, alert: &Alert, message: &str, template: &str) -> String {
    let values = values(world, alert, message);
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let name = after.split_once(']').map(|(name, _)| name);
        match name.and_then(|name| values.iter().find(|(known, _)| *known == name)) {
            Some((name, value)) => {
                out.push_str(value);
                rest = after.get(name.len() + 1..).unwrap_or("");
            }
            None => {
                out.push('[');
                rest = after;
            }
        }
    }
    out + rest
}

/// The message of an alert, which only e-mails and webhooks carry.
pub(crate) fn message(world: &World, alert: &Alert) -> String {
    let host = world.devices.get(alert.device as usize).map_or("", |device| &device.machine.hostname);
    let class = alert.context["@class"].as_str().unwrap_or("unknown monitor");
    format!("[{class}] on \"{host}\" at {}", timestamp(alert.at))
}
