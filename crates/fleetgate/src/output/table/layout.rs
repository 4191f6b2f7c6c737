//! Which columns of a table have room, and how much each gets. Numbers only.

/// Blanks around the text of a column.
pub(super) const GAP: usize = 2;

/// What a column needs, in columns of the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// 0 always stays; the larger, the sooner it goes.
    pub(super) rank: u8,
    /// Nothing wrapped, nothing shortened.
    pub(super) full: usize,
    /// Well readable.
    pub(super) easy: usize,
    /// Only where even those that always stay have no room.
    pub(super) least: usize,
}

/// A width for each column, none for those left out. What is left over goes to the columns in the order of their rank.
/// Those that always stay may need more than there is; then the terminal has to wrap.
pub(super) fn fit(width: usize, needs: &[Need]) -> Vec<Option<usize>> {
    let mut order: Vec<(usize, &Need)> = needs.iter().enumerate().collect();
    order.sort_by_key(|(_, need)| need.rank);
    let stays = |(_, need): &&(usize, &Need)| need.rank == 0;
    let needed: usize = order.iter().filter(stays).map(|(_, need)| need.easy + GAP).sum();
    let mut widths = vec![None; needs.len()];
    let mut left = width;
    for (at, need) in &order {
        let wanted = if need.rank == 0 && needed > width { need.least } else { need.easy };
        if need.rank == 0 || wanted + GAP <= left {
            left = left.saturating_sub(wanted + GAP);
            set(&mut widths, *at, wanted);
        }
    }
    for (at, need) in order {
        if let Some(Some(given)) = widths.get_mut(at) {
            let more = need.full.saturating_sub(*given).min(left);
            *given += more;
            left -= more;
        }
    }
    widths
}

fn set(widths: &mut [Option<usize>], at: usize, width: usize) {
    if let Some(place) = widths.get_mut(at) {
        *place = Some(width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn need(rank: u8, full: usize, easy: usize, least: usize) -> Need {
        Need { rank, full, easy, least }
    }

    #[track_caller]
    fn check(width: usize, needs: &[Need], expected: &[Option<usize>]) {
        assert_eq!(fit(width, needs), expected);
    }

    #[test]
    fn what_is_left_over_goes_to_the_important_first() {
        let needs = [need(1, 40, 10, 5), need(0, 20, 10, 5)];
        check(100, &needs, &[Some(40), Some(20)]);
        check(40, &needs, &[Some(16), Some(20)]);
        check(24, &needs, &[Some(10), Some(10)]);
    }

    #[test]
    fn what_has_no_room_is_left_out_and_what_stays_shrinks_last() {
        let needs = [need(0, 20, 10, 5), need(9, 30, 30, 30), need(1, 8, 8, 8)];
        check(30, &needs, &[Some(18), None, Some(8)]);
        check(12, &needs, &[Some(10), None, None]);
        check(9, &needs, &[Some(7), None, None]);
        check(3, &needs, &[Some(5), None, None]);
    }
}
