//! One page of devices: compared with what is known, and written with the run's progress in one transaction.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Ctx,
    id::{ClientId, DeviceId},
    organization::Organization,
    status::StatusRule,
    sync::RunItem,
};
use provider::{RejectedRow, StatusWords};
use store::{
    device::{Applied, Known, PageScope, Place},
    sync_run::Progress,
};

use super::{
    Stopped, Work,
    plan::{self, PagePlan, Row},
};
use crate::core::Opened;

/// Devices written in one transaction.
pub(super) const PAGE_SIZE: usize = 1_000;

/// The organization for the client that it has now.
pub(super) fn place(organization: &Organization, client_id: ClientId) -> Arc<Place> {
    Arc::new(Place {
        organization_id: organization.id,
        external_id: organization.external_id.clone(),
        sites: organization.sites.clone(),
        client_id,
    })
}

/// A page of devices of these places, looked at now.
pub(super) fn scope(work: &Work<'_>, opened: &Opened, places: Vec<Arc<Place>>, ctx: &Ctx) -> PageScope {
    let settings = &opened.integration.settings;
    let status_rule = match opened.provider.descriptor().status_words {
        StatusWords::WithOverdue => StatusRule::PER_DEVICE,
        StatusWords::OnlineOffline => StatusRule::overdue_after(settings.overdue_after_hours),
    };
    PageScope {
        integration_id: work.run.integration_id,
        provider: opened.integration.provider.clone(),
        places,
        status_rule,
        run_id: work.run.id,
        observed_at: ctx.now,
    }
}

/// Compares a page with what is known.
pub(super) async fn compare(
    work: &mut Work<'_>,
    ctx: &Ctx,
    scope: &PageScope,
    rows: &[Row<'_>],
    rejected: &[RejectedRow],
) -> Result<PagePlan, Stopped> {
    let tenant = work.core.store.tenant(ctx);
    let ids: Vec<&str> = rows.iter().map(|row| row.record.external_id.as_str()).collect();
    let known = tenant.devices().known(work.run.integration_id, &ids).await?;
    let known: HashMap<String, Known> =
        known.into_iter().map(|known| (known.external_id.clone(), known)).collect();
    let mut plan = plan::plan(scope, rows, rejected, &known, &mut work.counts, ctx.now);
    let renewed = plan::with_new_facts(&plan);
    if !renewed.is_empty() && !work.run.preview {
        let before: HashMap<DeviceId, String> = tenant.devices().facts(&renewed).await?.into_iter().collect();
        plan::tell_changes(&mut plan, &before);
    }
    Ok(plan)
}

/// Writes what was planned, or in a preview the progress alone; answers what is to be told of it. None if an organization
/// was mapped elsewhere while the page was compared: then nothing is written.
pub(super) async fn put(
    work: &mut Work<'_>,
    ctx: &Ctx,
    scope: &PageScope,
    plan: PagePlan,
    progress: &Progress,
) -> Result<Option<Vec<RunItem>>, Stopped> {
    let tenant = work.core.store.tenant(ctx);
    if work.run.preview {
        tenant.sync_runs().note(work.run.id, progress).await?;
    } else if tenant.devices().apply(scope, &plan.writes, progress).await? == Applied::Remapped {
        return Ok(None);
    }
    work.reached(progress);
    let is_told = |item: &RunItem| work.run.preview || item.action == "failed";
    Ok(Some(plan.items.into_iter().filter(is_told).collect()))
}

/// Says that the rest of an organization is left out. That is no error, and its absences do not count.
pub(super) async fn leave(work: &mut Work<'_>, organization: &Organization) -> Result<(), Stopped> {
    work.counts.skipped += 1;
    let item = RunItem {
        n: 0,
        action: "skipped".to_owned(),
        external_id: Some(organization.external_id.clone()),
        name: Some(organization.name.clone()),
        message:
            "was unmapped, excluded or taken out of Auto-sync during the run; the rest of it was left out"
                .to_owned(),
    };
    work.add_items(&[item]).await
}
