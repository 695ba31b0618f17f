//! The depth-first search through the schedules of one plan, with source sets and sleep sets (see `explore`).

use std::collections::BTreeSet;

use crate::explore::Plan;
use crate::gate::{EventId, Footprint, GateFault};
use crate::world::World;

/// A step of the schedule that is being explored.
pub struct Node {
    pub chosen: EventId,
    pub operation: &'static str,
    pub came_after: usize,
    /// The number of requests performed when time last passed before this one was sent.
    pub paused_after: usize,
    pub footprint: Footprint,
    pub waiting: Vec<EventId>,
    pub asleep: Vec<(EventId, Footprint)>,
    pub done: Vec<(EventId, Footprint)>,
    pub alternatives: BTreeSet<EventId>,
}

/// The depth-first search through the schedules of one plan.
pub struct Search<'a> {
    pub plan: &'a Plan,
    pub nodes: Vec<Node>,
    /// How many of the nodes are the same as in the previous execution.
    pub unchanged: usize,
    /// A schedule to repeat instead of searching.
    pub replay: Vec<EventId>,
    /// Whether to explore every order of requests, even where it cannot matter.
    pub unreduced: bool,
}

impl<'a> Search<'a> {
    pub const fn new(plan: &'a Plan) -> Self {
        Self { plan, nodes: Vec::new(), unchanged: 0, replay: Vec::new(), unreduced: false }
    }

    pub fn conflict(&self, one: &Footprint, other: &Footprint) -> bool {
        self.unreduced || one.conflicts(other)
    }

    pub fn fault_of(&self, id: EventId) -> Option<GateFault> {
        self.plan.iter().find(|(planned, _)| *planned == id).map(|(_, fault)| *fault)
    }

    /// Chooses the request to perform at this step. Returns `None` if every waiting one leads to explored schedules.
    pub fn choose(&mut self, step: usize, world: &World) -> Option<EventId> {
        type Described = (EventId, &'static str, usize, usize);
        let waiting: Vec<Described> = world.gate.waiting(|waiting| {
            waiting.iter().map(|one| (one.id, one.operation, one.came_after, one.paused_after)).collect()
        });
        if let Some(node) = self.nodes.get_mut(step) {
            let found = waiting.iter().find(|(id, ..)| *id == node.chosen);
            let (id, operation, came_after, paused_after) = *found.expect("the same choices lead to the same requests");
            (node.operation, node.came_after, node.paused_after) = (operation, came_after, paused_after);
            return Some(id);
        }
        let before = step.checked_sub(1).map(|before| &self.nodes[before]);
        let asleep: Vec<_> = before.map_or_else(Vec::new, |before| {
            let others = before.asleep.iter().chain(&before.done);
            others.filter(|(_, footprint)| !self.conflict(footprint, &before.footprint)).cloned().collect()
        });
        let awake = || waiting.iter().filter(|(id, ..)| !asleep.iter().any(|(sleeping, _)| sleeping == id));
        let same_run = before.and_then(|before| awake().find(|(id, ..)| id.run == before.chosen.run));
        let repeated = self.replay.get(step).and_then(|repeated| waiting.iter().find(|(id, ..)| id == repeated));
        let (chosen, operation, came_after, paused_after) =
            *repeated.or_else(|| same_run.or_else(|| awake().next()))?;
        self.nodes.push(Node {
            chosen,
            operation,
            came_after,
            paused_after,
            footprint: Footprint::default(),
            waiting: waiting.iter().map(|(id, ..)| *id).collect(),
            asleep,
            done: Vec::new(),
            alternatives: BTreeSet::from([chosen]),
        });
        Some(chosen)
    }

    /// Whether request `earlier` was performed before `later` was sent and may have caused it.
    pub fn leads_to(&self, earlier: usize, later: usize) -> bool {
        let (first, second) = (&self.nodes[earlier], &self.nodes[later]);
        earlier < second.paused_after || (first.chosen.run == second.chosen.run && earlier < second.came_after)
    }

    /// Finds conflicting requests that could be performed in reverse order, and adds the reversals as alternatives.
    pub fn plan_reversals(&mut self) {
        let count = self.nodes.len();
        assert!(count <= 128, "a schedule has {count} requests; the limit is 128");
        // For each request, the requests that happen before it.
        let mut before = vec![0_u128; count];
        let mut reversals: Vec<(usize, Vec<EventId>)> = Vec::new();
        for later in 0..count {
            let direct: Vec<usize> = (0..later)
                .filter(|earlier| {
                    self.leads_to(*earlier, later)
                        || self.conflict(&self.nodes[*earlier].footprint, &self.nodes[later].footprint)
                })
                .collect();
            before[later] = direct.iter().fold(0, |all, earlier| all | before[*earlier] | (1 << earlier));
            if later + 1 < self.unchanged {
                continue;
            }
            for earlier in direct.iter().copied().filter(|earlier| !self.leads_to(*earlier, later)) {
                let between = direct.iter().filter(|other| **other != earlier);
                if between.into_iter().any(|other| before[*other] & (1 << earlier) != 0) {
                    continue;
                }
                // The requests up to the later one that do not depend on the earlier one. The first of them can begin a
                // schedule that reverses the two.
                let independent: Vec<usize> =
                    (earlier + 1..=later).filter(|one| *one == later || before[*one] & (1 << earlier) == 0).collect();
                let firsts = independent
                    .iter()
                    .filter(|one| !independent.iter().any(|other| before[**one] & (1 << *other) != 0))
                    .map(|one| self.nodes[*one].chosen);
                reversals.push((earlier, firsts.collect()));
            }
        }
        for (earlier, firsts) in reversals {
            let node = &mut self.nodes[earlier];
            if firsts.iter().any(|first| node.alternatives.contains(first)) {
                continue;
            }
            match firsts.iter().find(|first| node.waiting.contains(first)) {
                Some(first) => {
                    node.alternatives.insert(*first);
                }
                // None of them was sent yet: every waiting request may lead to one.
                None => node.alternatives.extend(node.waiting.iter().copied()),
            }
        }
    }

    /// Goes back to the last step that has an alternative left. Returns `false` if there is none.
    pub fn go_back(&mut self) -> bool {
        while let Some(node) = self.nodes.last_mut() {
            let footprint = std::mem::take(&mut node.footprint);
            node.done.push((node.chosen, footprint));
            let explored = |id: &EventId| node.done.iter().chain(&node.asleep).any(|(other, _)| other == id);
            if let Some(next) = node.alternatives.iter().copied().find(|id| !explored(id)) {
                node.chosen = next;
                self.unchanged = self.nodes.len();
                return true;
            }
            self.nodes.pop();
        }
        false
    }
}
