//! Rights: each by what is to be switched on in Datto RMM.

use provider::{ErrorKind, Problem, ProviderError};

use super::failure;

/// What a user of Datto RMM may see, as far as its API tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Sites,
    Devices,
    Audit,
    Alerts,
    Components,
    ActivityLog,
}

impl Right {
    /// Every right.
    #[cfg(test)]
    pub(crate) const ALL: [Right; 6] =
        [Right::Sites, Right::Devices, Right::Audit, Right::Alerts, Right::Components, Right::ActivityLog];

    /// Its name in lines of Test Connection.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Right::Sites => "Sites",
            Right::Devices => "Devices",
            Right::Audit => "Devices: audit",
            Right::Alerts => "Alerts",
            Right::Components => "Jobs and components",
            Right::ActivityLog => "Administrator",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Right::Sites => "sites",
            Right::Devices => "devices",
            Right::Audit => "audits of devices",
            Right::Alerts => "alerts",
            Right::Components => "components",
            Right::ActivityLog => "the activity log",
        }
    }

    fn fix(self) -> &'static str {
        match self {
            Right::Sites => {
                "In Datto RMM, under Setup, Users, open the user who owns the key, and give its security level the right \
                 to view sites, for all sites that Fleetgate shall see."
            }
            Right::Devices | Right::Audit => {
                "In Datto RMM, under Setup, Users, open the user who owns the key, and give its security level the right \
                 to view devices and their audits, for all sites that Fleetgate shall see."
            }
            Right::Alerts => {
                "In Datto RMM, under Setup, Users, open the user who owns the key, and give its security level the right \
                 to view alerts."
            }
            Right::Components => {
                "In Datto RMM, under Setup, Users, open the user who owns the key: give its security level the right to \
                 jobs, and set its component level as high as the components that Fleetgate shall run."
            }
            Right::ActivityLog => {
                "In Datto RMM, under Setup, Users, give the user who owns the key the Administrator security level. \
                 Without it only the activity log is missing, so leave it if you do not need that."
            }
        }
    }
}

/// 403 that is no block.
pub(crate) fn right_missing(right: Option<Right>) -> ProviderError {
    let problem = match right {
        Some(right) => Problem::new(
            "right_missing",
            format!("The user who owns the key may not read {}.", right.what()),
            right.fix(),
        ),
        None => Problem::new(
            "right_missing",
            "The user who owns the key may not do this.",
            "In Datto RMM, under Setup, Users, open the user who owns the key, and extend its security level.",
        ),
    };
    failure(ErrorKind::Forbidden, problem)
}
