//! Sites: the places of clients, and which sites of RMMs each of them stands for.
//!
//! Pure rules: what a fresh list of an RMM's sites changes, and which of our sites take a new name from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    Time,
    client::{Site, name_key},
    id::{ClientId, IntegrationId, OrganizationId, SiteId},
    organization::OrganizationSite,
};

/// A site with its number of assets and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteInfo {
    /// The site.
    pub site: Site,
    /// When a person chose its name; none if it bears the name of its RMM.
    pub named_at: Option<Time>,
    /// When it was created.
    pub created_at: Time,
    /// Assets there.
    pub asset_count: u64,
    /// The sites at RMMs that it stands for, of organizations mapped to its client; none if a person made it.
    pub sources: Vec<SiteSource>,
}

/// A site at an RMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSource {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The organization's name.
    pub organization_name: String,
    /// The RMM's id of the site, where it is known.
    pub external_id: Option<String>,
    /// Its name at the RMM.
    pub name: String,
}

/// A site of an organization and the site of ours that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSite {
    /// [`name_key`] of its name: by it devices find their site.
    pub name_key: String,
    /// Its name at the RMM.
    pub name: String,
    /// The RMM's id, where it is known.
    pub external_id: Option<String>,
    /// Ours.
    pub site: SiteId,
}

/// What became of the known sites of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// As they are known from now on, by [`KnownSite::name_key`].
    pub known: Vec<KnownSite>,
    /// Sites whose assets of the organization belong to another one: from, to.
    pub moves: Vec<(SiteId, SiteId)>,
}

/// What a fresh list changes in the known sites of one organization; none if nothing. The RMM's id tells a site that
/// was renamed; where the id is not known, or is gone, the name does.
pub fn follow(known: &[KnownSite], listed: &[OrganizationSite]) -> Option<Followed> {
    let ids: HashSet<&str> = listed.iter().map(|site| site.external_id.as_str()).collect();
    let mut placed: BTreeMap<String, KnownSite> = BTreeMap::new();
    let mut used: HashSet<&str> = HashSet::new();
    let mut open: BTreeMap<String, &OrganizationSite> = BTreeMap::new();
    for site in listed {
        // Names that differ in case or blanks alone are one name here: the first counts.
        open.entry(name_key(&site.name)).or_insert(site);
    }
    let is_gone = |row: &KnownSite| row.external_id.as_deref().is_none_or(|id| !ids.contains(id));
    for by_id in [true, false] {
        for (key, site) in &open {
            if placed.contains_key(key) {
                continue;
            }
            let fits = |row: &&KnownSite| {
                let has_id = row.external_id.as_deref() == Some(site.external_id.as_str());
                let is_it = if by_id { has_id } else { row.name_key == *key && is_gone(row) };
                is_it && !used.contains(row.name_key.as_str())
            };
            if let Some(row) = known.iter().find(fits) {
                used.insert(&row.name_key);
                placed.insert(key.clone(), renamed(row, key, site));
            }
        }
    }
    let mut moves = Vec::new();
    for row in known.iter().filter(|row| !used.contains(row.name_key.as_str())) {
        match placed.get(&row.name_key) {
            // Its name is another site's by now: whoever came under that name before we knew is there.
            Some(heir) if heir.site != row.site => moves.push((row.site, heir.site)),
            Some(_) => {}
            None => _ = placed.insert(row.name_key.clone(), row.clone()),
        }
    }
    let is_same =
        placed.len() == known.len() && known.iter().all(|row| placed.get(&row.name_key) == Some(row));
    (!is_same).then(|| Followed { known: placed.into_values().collect(), moves })
}

fn renamed(row: &KnownSite, key: &str, site: &OrganizationSite) -> KnownSite {
    KnownSite {
        name_key: key.to_owned(),
        name: site.name.clone(),
        external_id: Some(site.external_id.clone()),
        site: row.site,
    }
}

/// A name that a site shall take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub site: SiteId,
    /// The new name.
    pub name: String,
}

/// The renames that leave every name within a client to one site. `taken`: all sites of the clients concerned, with
/// their [`name_key`]. Two sites may change names with each other.
pub fn possible(mut wanted: Vec<Rename>, taken: &[(ClientId, SiteId, String)]) -> Vec<Rename> {
    loop {
        let wishes: HashMap<SiteId, String> =
            wanted.iter().map(|rename| (rename.site, name_key(&rename.name))).collect();
        let mut bearers: HashMap<(ClientId, &str), u32> = HashMap::new();
        for (client, site, key) in taken {
            let key = wishes.get(site).unwrap_or(key);
            *bearers.entry((*client, key.as_str())).or_default() += 1;
        }
        let is_free = |rename: &Rename| {
            let key = name_key(&rename.name);
            bearers.get(&(rename.client, key.as_str())).is_none_or(|bearers| *bearers <= 1)
        };
        let before = wanted.len();
        let kept: Vec<Rename> = wanted.iter().filter(|rename| is_free(rename)).cloned().collect();
        wanted = kept;
        // One that keeps its name may stand in the way of another.
        if wanted.len() == before {
            return wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::TypedId;

    fn site(n: u128) -> SiteId {
        SiteId::from_uuid(Uuid::from_u128(n))
    }

    /// `name=id@ours`, with `-` for an id that is not known.
    fn known(text: &str) -> Vec<KnownSite> {
        let row = |part: &str| {
            let (name, rest) = part.split_once('=').unwrap();
            let (id, ours) = rest.split_once('@').unwrap();
            KnownSite {
                name_key: name_key(name),
                name: name.to_owned(),
                external_id: (id != "-").then(|| id.to_owned()),
                site: site(ours.parse().unwrap()),
            }
        };
        text.split_whitespace().map(row).collect()
    }

    fn listed(text: &str) -> Vec<OrganizationSite> {
        let row = |part: &str| {
            let (name, id) = part.split_once('=').unwrap();
            OrganizationSite { external_id: id.to_owned(), name: name.to_owned(), device_count: None }
        };
        text.split_whitespace().map(row).collect()
    }

    #[track_caller]
    fn check(before: &str, list: &str, after: Option<(&str, &[(u128, u128)])>) {
        let followed = follow(&known(before), &listed(list));
        let expected = after.map(|(after, moves)| Followed {
            known: known(after),
            moves: moves.iter().map(|(from, to)| (site(*from), site(*to))).collect(),
        });
        assert_eq!(followed, expected);
    }

    #[test]
    fn the_same_list_changes_nothing() {
        check("Main=7@1 Branch=8@2", "Branch=8 Main=7", None);
        check("", "Main=7", None);
        check("Main=7@1 Gone=9@2", "Main=7", None);
    }

    #[test]
    fn a_name_without_an_id_takes_the_id_of_the_list() {
        check("Main=-@1", "Main=7 New=8", Some(("Main=7@1", &[])));
    }

    #[test]
    fn the_id_tells_a_site_that_was_renamed() {
        check("Main=7@1 Other=8@2", "HQ=7 Other=8", Some(("HQ=7@1 Other=8@2", &[])));
        check("main=7@1", "MAIN=7", Some(("MAIN=7@1", &[])));
    }

    #[test]
    fn two_may_change_names() {
        check("A=7@1 B=8@2", "A=8 B=7", Some(("A=8@2 B=7@1", &[])));
    }

    #[test]
    fn what_came_under_the_new_name_too_early_is_moved() {
        check("A=7@1 B=-@2", "B=7", Some(("B=7@1", &[(2, 1)])));
        check("A=7@1 B=8@2", "B=7", Some(("B=7@1", &[(2, 1)])));
        check("A=7@1 B=-@1", "B=7", Some(("B=7@1", &[])));
    }

    #[test]
    fn a_site_made_anew_under_the_name_is_the_same() {
        check("A=7@1", "A=9", Some(("A=9@1", &[])));
        check("A=7@1", "A=9 B=7", Some(("B=7@1", &[])));
    }

    #[test]
    fn names_that_differ_in_case_are_one() {
        check("HQ=7@1", "HQ=7 hq=8", None);
        check("HQ=7@1 A=8@2", "HQ=7 hq=8", None);
    }

    fn rename(site_number: u128, name: &str) -> Rename {
        let client = ClientId::from_uuid(Uuid::from_u128(9));
        Rename { client, site: site(site_number), name: name.to_owned() }
    }

    #[test]
    fn a_name_that_another_site_bears_is_not_taken() {
        let client = ClientId::from_uuid(Uuid::from_u128(9));
        let taken: Vec<_> =
            [(1, "a"), (2, "b"), (3, "c")].map(|(n, key)| (client, site(n), key.to_owned())).to_vec();
        let names = |wanted: &[Rename]| possible(wanted.to_vec(), &taken);
        let swap = [rename(1, "B"), rename(2, "A")];
        assert_eq!(names(&swap), swap);
        assert_eq!(names(&[rename(1, "C")]), []);
        // The second must keep its name, so the first cannot have it.
        assert_eq!(names(&[rename(1, "B"), rename(2, "C")]), []);
        assert_eq!(names(&[rename(1, "X"), rename(2, "x"), rename(3, "A")]), []);
        let other = [rename(1, "X"), rename(3, "A")];
        assert_eq!(names(&other), other);
    }
}
