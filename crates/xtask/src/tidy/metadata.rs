//! The part of `cargo metadata` that the rules need.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    #[serde(default)]
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) kind: Option<DependencyKind>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum DependencyKind {
    Dev,
    Build,
}

/// A name and its dependencies.
#[cfg(test)]
pub(super) type Member<'a> = (&'a str, &'a [(&'a str, Option<DependencyKind>)]);

impl Metadata {
    pub(super) fn load() -> Result<Self> {
        let json = process::output(process::cargo(["metadata", "--all-features", "--format-version", "1"]))?;
        serde_json::from_str(&json).context("cannot read `cargo metadata`")
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    pub(super) fn third_parties(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }

    pub(super) fn is_member(&self, name: &str) -> bool {
        self.members().any(|package| package.name == name)
    }

    /// A workspace of these members, for tests.
    #[cfg(test)]
    pub(super) fn of(members: &[Member<'_>]) -> Self {
        let package = |(name, dependencies): &Member<'_>| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
                .collect(),
        };
        let packages: Vec<_> = members.iter().map(package).collect();
        let workspace_members = packages.iter().map(|package| package.id.clone()).collect();
        Self { packages, workspace_members }
    }

    /// Adds a package from outside, for tests.
    #[cfg(test)]
    pub(super) fn with_third_party(mut self, name: &str, license: Option<&str>) -> Self {
        self.packages.push(Package {
            id: format!("registry#{name}"),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            dependencies: Vec::new(),
        });
        self
    }
}
