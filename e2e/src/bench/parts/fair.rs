//! A small sync that comes while a big one is at work.

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;

use crate::bench::ledger::Ledger;
use crate::bench::ledger::Relation;
use crate::bench::measured::Measured;
use crate::bench::measured::between;
use crate::bench::place::CENTRAL;
use crate::bench::place::LONG;
use crate::bench::place::Place;
use crate::bench::stretch::Stretch;
use crate::demo::screen::Done;
use crate::fixture::one_to_one;

const NAMESPACES: u32 = 5_000;
const WIDE: &str = "wide";
const NARROW: &str = "narrow";
/// How many copies of the big one are made before the small one comes, as a part of all.
const UNDER_WAY: f64 = 0.1;

pub(super) async fn measure(place: &mut Place, ledger: &mut Ledger) -> Result<()> {
    let count = place.scaled(NAMESPACES);
    place.make_namespaces(count).await?;
    for name in [WIDE, NARROW] {
        place.make_source(name).await?;
    }
    place.start_operator().await?;
    let screen = place.screen.clone();
    let work = async { Ok(Done::new(both(place, count).await?, "")) };
    let stretch = screen.step("a small sync beside a big one", work).await?;
    tell(ledger, &stretch, count);
    for name in [NARROW, WIDE] {
        let work = async { Ok(Done::new(place.delete_sync(name).await?, "")) };
        screen.step(&format!("the sync {name} deleted"), work).await?;
        place.delete_source(name).await?;
    }
    Ok(())
}

async fn both(place: &Place, count: u32) -> Result<Stretch> {
    let creates = "configmapsync_writes_total{action=\"create\",result=\"success\"";
    let before = place.operator()?.metric(creates).await?;
    let work = async {
        place.fixture().create_sync(CENTRAL, WIDE, Place::fan_out(WIDE, "bench")).await?;
        let under_way = before + f64::from(count) * UNDER_WAY;
        place.operator()?.wait_metric(creates, under_way, LONG).await?;
        let spec = one_to_one(CENTRAL, NARROW, &Place::namespace(0));
        place.fixture().create_sync(CENTRAL, NARROW, spec).await?;
        place.wait_synced(NARROW, None).await?;
        place.wait_synced(WIDE, None).await
    };
    Ok(place.during(work).await?.1)
}

fn tell(ledger: &mut Ledger, stretch: &Stretch, count: u32) {
    let wide = stretch.asked("create", "configmapsyncs", WIDE);
    let narrow = stretch.asked("create", "configmapsyncs", NARROW);
    let ready = status_written(stretch, NARROW);
    let wide_ends = status_written(stretch, WIDE);
    let wait = between(narrow, ready);
    // Nothing is shown by a small sync that comes when the big one is over.
    let is_valid = ready < wide_ends && !wait.is_zero();
    let wait = is_valid.then_some(wait.as_secs_f64());
    let what = "a small sync beside a big one: seconds until Ready";
    ledger.bound(what, wait, Relation::AtMost, 2.0);
    let wall = between(wide, stretch.last("create", "configmaps"));
    let mut measured: Measured = stretch.measured().took(count, wall);
    measured.more.extend(wait.map(|wait| ("small sync Ready after, s".to_owned(), wait)));
    ledger.row(format!("fan-out to {count}, a small sync beside it"), measured);
}

/// When the status of the sync was written last.
fn status_written(stretch: &Stretch, name: &str) -> Option<Timestamp> {
    let written = stretch.by_operator().filter(|event| {
        event.resource() == "configmapsyncs"
            && event.object_ref.subresource == "status"
            && event.name() == name
    });
    written.map(|event| event.stage_timestamp.0).max()
}
