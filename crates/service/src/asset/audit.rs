//! A look at one machine that a person asks for now: what its RMM knows of hardware, network and software. The RMM is asked,
//! the machine is not.

use domain::{
    Ctx,
    asset::{Asset, AssetSource},
    auth::Permission,
    device::DeviceDetail,
    id::{AssetId, IntegrationId},
};
use provider::DeviceRef;
use store::detail::{DetailWrite, DueDevice};

use super::Assets;
use crate::error::{Result, ServiceError};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditKind {
    /// Processors, memory, disks, model, serial number.
    Hardware,
    /// Hardware and network addresses.
    Network,
    /// What is installed.
    Software,
}

/// One installed software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Who publishes it.
    pub publisher: Option<String>,
}

/// What became of one kind.
#[derive(Clone, Debug)]
pub struct AuditResult {
    /// Which.
    pub kind: AuditKind,
    /// The source that was asked; none if none of them can tell.
    pub source: Option<AssetSource>,
    /// Why it was not looked at; none if it was.
    pub problem: Option<String>,
}

/// What a look found.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The asset as it is now.
    pub asset: Asset,
    /// One for each kind asked for.
    pub results: Vec<AuditResult>,
    /// What is installed, if that was asked for and is known. It is answered and not stored.
    pub software: Option<Vec<Software>>,
}

/// The source that answered, or why none did.
type Looked<T> = std::result::Result<(AssetSource, T), Failed>;

/// Why nobody could tell.
struct Failed {
    source: Option<AssetSource>,
    problem: String,
}

impl Failed {
    fn nobody(problem: &str) -> Failed {
        Failed { source: None, problem: problem.to_owned() }
    }

    fn of(source: &AssetSource, error: &ServiceError) -> Failed {
        Failed { source: Some(source.clone()), problem: error.to_string() }
    }
}

impl Assets {
    /// Looks now. It needs the right to change assets: it stores the detail that it reads, and it takes from the requests
    /// that the RMM allows to all who use the account.
    pub async fn audit(&self, ctx: &Ctx, id: AssetId, kinds: &[AuditKind]) -> Result<Audited> {
        ctx.require(Permission::AssetsWrite)?;
        let asset = self.get_to_change(ctx, id).await?;
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            let message = "say what to look at: `hardware`, `network`, `software`";
            return Err(ServiceError::invalid("kinds", "kinds_empty", message));
        }
        let devices = self.core.store.tenant(ctx).details().of_asset(asset.id).await?;
        let (mut results, mut software) = (Vec::new(), None);
        let (of_software, of_detail): (Vec<AuditKind>, Vec<AuditKind>) =
            kinds.into_iter().partition(|kind| *kind == AuditKind::Software);
        if !of_detail.is_empty() {
            let looked = self.detail_of(ctx, &asset, &devices).await;
            results.extend(of_detail.into_iter().map(|kind| result(kind, &looked)));
        }
        for kind in of_software {
            let looked = self.software_of(ctx, &asset, &devices).await;
            results.push(result(kind, &looked));
            software = looked.ok().map(|(_, found)| found);
        }
        let asset = self.get_to_change(ctx, asset.id).await?;
        Ok(Audited { asset, results, software })
    }

    /// Reads and stores the detail of the first source that answers.
    async fn detail_of(&self, ctx: &Ctx, asset: &Asset, devices: &[DueDevice]) -> Looked<()> {
        let mut last = Failed::nobody("no RMM lists this machine now, so there is nobody to ask");
        for (source, device) in in_order(asset, devices) {
            match self.renew_detail(ctx, source.integration_id, device).await {
                Ok(()) => return Ok((source.clone(), ())),
                Err(error) => last = Failed::of(source, &error),
            }
        }
        Err(last)
    }

    async fn renew_detail(&self, ctx: &Ctx, integration: IntegrationId, device: &DueDevice) -> Result<()> {
        let detail = self.read_detail(ctx, integration, device).await?;
        let write = DetailWrite { device: device.clone(), detail };
        Ok(self.core.store.tenant(ctx).details().write_one(integration, write).await?)
    }

    async fn read_detail(
        &self,
        ctx: &Ctx,
        integration: IntegrationId,
        device: &DueDevice,
    ) -> Result<DeviceDetail> {
        let record = self
            .core
            .call(ctx, integration, |opened| async move {
                let device_type = device.facts.device_type;
                let asked = DeviceRef { external_id: &device.external_id, device_type };
                opened.provider.inventory().detail(&opened.connection, &asked).await
            })
            .await?;
        Ok(record.detail)
    }

    /// Asks the first source that can tell.
    async fn software_of(&self, ctx: &Ctx, asset: &Asset, devices: &[DueDevice]) -> Looked<Vec<Software>> {
        let mut last = Failed::nobody("none of the RMMs that list this machine tells what is installed");
        for (source, device) in in_order(asset, devices) {
            let can_tell = self.core.provider(&source.rmm_provider).is_ok_and(|rmm| rmm.software().is_some());
            if !can_tell {
                continue;
            }
            match self.read_software(ctx, source.integration_id, device).await {
                Ok(found) => return Ok((source.clone(), found)),
                Err(error) => last = Failed::of(source, &error),
            }
        }
        Err(last)
    }

    async fn read_software(
        &self,
        ctx: &Ctx,
        integration: IntegrationId,
        device: &DueDevice,
    ) -> Result<Vec<Software>> {
        let listed = self
            .core
            .call(ctx, integration, |opened| async move {
                let device_type = device.facts.device_type;
                let asked = DeviceRef { external_id: &device.external_id, device_type };
                match opened.provider.software() {
                    Some(source) => source.installed(&opened.connection, &asked).await,
                    None => Ok(Vec::new()),
                }
            })
            .await?;
        let software = listed.into_iter();
        Ok(software
            .map(|row| Software { name: row.name, version: row.version, publisher: row.publisher })
            .collect())
    }
}

fn result<T>(kind: AuditKind, looked: &Looked<T>) -> AuditResult {
    match looked {
        Ok((source, _)) => AuditResult { kind, source: Some(source.clone()), problem: None },
        Err(failed) => {
            AuditResult { kind, source: failed.source.clone(), problem: Some(failed.problem.clone()) }
        }
    }
}

/// Sources that are listed, the leading one first, with their devices.
fn in_order<'a>(
    asset: &'a Asset,
    devices: &'a [DueDevice],
) -> impl Iterator<Item = (&'a AssetSource, &'a DueDevice)> {
    let several = asset.sources.iter().map(|look| &look.source);
    let one = asset.sources.is_empty().then_some(&asset.source);
    let listed = several.chain(one).filter(|source| source.missing_since.is_none());
    listed.filter_map(|source| {
        Some((source, devices.iter().find(|device| device.device_id == source.device_id)?))
    })
}
