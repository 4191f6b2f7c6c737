//! One folder per RMM, and the list of all.
//!
//! This is the only place where the list stands: services and pages find a provider by its id and read the rest from
//! its descriptor. A provider sees neither the database nor HTTP routes of ours.

mod clock;
mod facts;
mod json;
mod pasted;
mod reject;

pub mod datto_rmm;
pub mod tacticalrmm;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod mutate;

use provider::Provider;

/// Every RMM that can be connected, in the order in which they are offered.
pub fn all() -> &'static [&'static dyn Provider] {
    &[&tacticalrmm::TacticalRmm, &datto_rmm::DattoRmm]
}

/// The provider of this id.
pub fn find(id: &str) -> Option<&'static dyn Provider> {
    all().iter().copied().find(|provider| provider.descriptor().id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_provider_is_found_by_its_own_id() {
        let ids: BTreeSet<&str> = all().iter().map(|provider| provider.descriptor().id).collect();
        assert_eq!(ids.len(), all().len());
        for id in ids {
            assert_eq!(find(id).unwrap().descriptor().id, id);
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn fields_for_actions_are_never_required_and_have_names_of_their_own() {
        for descriptor in all().iter().map(|provider| provider.descriptor()) {
            for mode in descriptor.auth_modes {
                for field in mode.action_fields {
                    assert!(mode.fields.iter().all(|read| read.name != field.name), "{}", field.name);
                    assert!(!field.required, "{}", field.name);
                }
            }
        }
    }
}
