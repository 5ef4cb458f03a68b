//! Lanes under thousands of random schedules: deliveries, ends, crashes of turns, new generations
//! and lost ownerships in any order. Whatever happens, the messages of a conversation are begun in
//! order, one at a time, none is begun again once it is done, and none is left behind. Some of them
//! are posted twice; those are begun once. Some are commands, which go before all that is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    tests::{Message, command_of, copy, lane, message},
    *,
};

const CONVERSATIONS: u64 = 3;

/// Everything outside the lanes: the stream, the stored checkpoints, the turns and the timers.
struct World {
    lanes: Lanes<Message>,
    messages: u64,
    /// The place at which this earlier message was posted once more.
    copies: BTreeMap<u64, u64>,
    tag: (u64, u64),
    /// The next message the current consumer delivers.
    cursor: u64,
    /// The first places of commands.
    commands: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// What the stored checkpoints know as done: the first places of messages.
    done: BTreeSet<u64>,
    /// Checkpoints on their way: as they were when they were asked for.
    loading: Vec<(Arc<LaneAddress>, (u64, u64), Checkpoint)>,
    sleeping: Vec<(Arc<LaneAddress>, u64)>,
    /// Lane, messages, and the epoch it runs under.
    running: Vec<(Arc<LaneAddress>, Vec<u64>, u64)>,
    /// Lanes that somebody will look at.
    watched: Vec<Arc<LaneAddress>>,
    /// The question of the lane may be taken back.
    withdrawn: BTreeSet<String>,
    /// The turn of the lane is to stop.
    stopped: BTreeSet<String>,
    in_doubt: bool,
    settings: TurnSettings,
    /// The broker's clock; each message was published at ten times its place.
    now: i64,
}

fn conversation(sequence: u64) -> u64 {
    sequence % CONVERSATIONS
}

impl World {
    /// `copies` say of a place, and of an earlier one, that they are one message; `commands` are
    /// places of commands.
    fn new(messages: u64, settings: TurnSettings, copies: &[(u64, u64)], commands: &[u64]) -> Self {
        let mut lanes = Lanes::new(4, 2);
        lanes.owned(0, (1, 0));
        let mut world = Self {
            lanes,
            messages,
            copies: BTreeMap::new(),
            tag: (1, 0),
            cursor: 1,
            commands: BTreeSet::new(),
            acked: BTreeSet::new(),
            done: BTreeSet::new(),
            loading: Vec::new(),
            sleeping: Vec::new(),
            running: Vec::new(),
            watched: Vec::new(),
            withdrawn: BTreeSet::new(),
            stopped: BTreeSet::new(),
            in_doubt: false,
            settings,
            now: 0,
        };
        for (place, of) in copies.iter().map(|(a, b)| (a % messages + 1, b % messages + 1)) {
            if of < place {
                let first = world.name(of);
                world.copies.insert(place, first);
            }
        }
        world.commands = commands.iter().map(|at| world.name(at % messages + 1)).collect();
        world
    }

    /// The first place of a message.
    fn name(&self, sequence: u64) -> u64 {
        let first = self.copies.get(&sequence).copied().unwrap_or(sequence);
        if first == sequence { sequence } else { self.name(first) }
    }

    /// The first places of a conversation's messages, in order.
    fn firsts(&self, of: u64) -> impl Iterator<Item = u64> {
        (1..=self.messages).filter(move |s| !self.copies.contains_key(s) && conversation(*s) == of)
    }

    fn checkpoint(&self, address: &LaneAddress) -> Checkpoint {
        let mine = self.done.iter().filter(|s| address.conversation == conversation(**s).to_string());
        let ids: Vec<_> = mine.map(|sequence| message(*sequence).id()).collect();
        let mut checkpoint = Checkpoint::new();
        checkpoint.close(&ids, 1);
        checkpoint
    }

    fn perform(&mut self, actions: Vec<Action<Message>>) {
        for action in actions {
            match action {
                Action::Load(address, tag) => {
                    let checkpoint = self.checkpoint(&address);
                    self.loading.push((address, tag, checkpoint));
                }
                Action::Start { lane, items, .. } => self.start(lane, items.iter().map(Item::sequence).collect()),
                Action::Ack(items) => self.acked.extend(items.iter().map(Item::sequence)),
                Action::Sleep(address, _) => self.sleeping.push((address, self.tag.0)),
                Action::LookAt(address, _) => self.watched.push(address),
                Action::Supersede(address, ..) => {
                    self.withdrawn.insert(address.conversation.clone());
                }
                Action::Doubt(_) => self.in_doubt = true,
                Action::Stop(address) => {
                    assert!(self.running.iter().any(|(lane, ..)| *lane == address), "nothing runs that could stop");
                    self.stopped.insert(address.conversation.clone());
                }
                Action::Drained(_) => {}
            }
        }
    }

    fn start(&mut self, address: Arc<LaneAddress>, sequences: Vec<u64>) {
        for (index, sequence) in sequences.iter().enumerate() {
            assert!(!self.done.contains(sequence), "{sequence} is begun again although it is done");
            assert_eq!(self.name(*sequence), *sequence, "a copy is begun");
            let goes_first = |before: &u64| self.commands.contains(sequence) && !self.commands.contains(before);
            let earlier = self.firsts(conversation(*sequence)).take_while(|s| s < sequence);
            for before in earlier.filter(|before| !goes_first(before)) {
                let together = sequences[..index].contains(&before);
                assert!(together || self.done.contains(&before), "{sequence} is begun before {before} is done");
            }
        }
        let live = self.running.iter().filter(|(lane, _, epoch)| *lane == address && *epoch == self.tag.0);
        assert_eq!(live.count(), 0, "two turns of one conversation at once");
        self.withdrawn.remove(&address.conversation);
        self.stopped.remove(&address.conversation);
        self.running.push((address, sequences, self.tag.0));
    }

    fn deliver(&mut self) {
        while self.acked.contains(&self.cursor) {
            self.cursor += 1;
        }
        if self.cursor <= self.messages {
            let name = self.name(self.cursor);
            let address = lane(&conversation(name).to_string());
            let published = i64::try_from(self.cursor * 10).unwrap();
            let item = copy(self.cursor, name, published);
            let item = if self.commands.contains(&name) { command_of(item) } else { item };
            let actions = self.lanes.arrived(address, self.tag, item);
            self.cursor += 1;
            self.perform(actions);
        }
        if self.cursor > self.messages {
            let actions = self.lanes.caught_up(0, self.tag);
            self.perform(actions);
        }
    }

    fn load(&mut self, which: usize) {
        if !self.loading.is_empty() {
            let (address, tag, checkpoint) = self.loading.remove(which % self.loading.len());
            let actions = self.lanes.loaded(&address, tag, checkpoint, self.settings);
            self.perform(actions);
        }
    }

    /// A checkpoint is not read, since the lease did not hold for a moment.
    fn give_up_loading(&mut self, which: usize) {
        if !self.loading.is_empty() {
            self.loading.remove(which % self.loading.len());
            self.in_doubt = true;
        }
    }

    fn wake(&mut self, which: usize) {
        if !self.sleeping.is_empty() {
            let (address, epoch) = self.sleeping.remove(which % self.sleeping.len());
            let actions = self.lanes.woken(&address, epoch);
            self.perform(actions);
        }
    }

    fn look(&mut self, which: usize) {
        self.now += 15;
        self.lanes.set_now(self.now);
        if !self.watched.is_empty() {
            let address = self.watched.remove(which % self.watched.len());
            let actions = self.lanes.looked_at(&address);
            self.perform(actions);
        }
    }

    /// A turn of a lost ownership can only end as fenced.
    fn end(&mut self, which: usize, how: u8) {
        if self.running.is_empty() {
            return;
        }
        let (address, sequences, epoch) = self.running.remove(which % self.running.len());
        let end = match how {
            _ if epoch != self.tag.0 => TurnEnd::Fenced,
            0 => TurnEnd::Fenced,
            1 => TurnEnd::Again(self.checkpoint(&address), Wait::of(Duration::from_secs(1), "agent")),
            _ if self.stopped.remove(&address.conversation) => TurnEnd::Cut(self.checkpoint(&address)),
            _ if self.withdrawn.remove(&address.conversation) => TurnEnd::Withdrawn(self.checkpoint(&address)),
            _ => {
                self.done.extend(sequences);
                TurnEnd::Done(self.checkpoint(&address))
            }
        };
        let actions = self.lanes.ended(&address, end, None);
        self.perform(actions);
    }

    /// A new consumer of the same ownership: everything unacknowledged comes again.
    fn resync(&mut self) {
        self.tag.1 += 1;
        self.begin();
    }

    /// The ownership is lost, and won again after another worker has ended a turn, perhaps; now and
    /// then the news of the loss comes too late.
    fn lose(&mut self, which: usize) {
        if !which.is_multiple_of(3) {
            assert!(self.lanes.lost(0, self.tag.0));
        }
        let next = self.firsts(which as u64 % CONVERSATIONS).find(|s| !self.done.contains(s));
        self.done.extend(next.filter(|_| which.is_multiple_of(2)));
        self.tag = (self.tag.0 + 1, 0);
        self.begin();
    }

    fn begin(&mut self) {
        self.lanes.owned(0, self.tag);
        (self.cursor, self.in_doubt) = (1, false);
    }

    fn step(&mut self, operation: u8, which: usize) {
        match operation {
            0..=5 => self.deliver(),
            6..=8 => self.load(which),
            9..=12 => self.end(which, 2),
            13 => self.end(which, 1),
            14 => self.end(which, 0),
            15 => self.wake(which),
            16 => self.resync(),
            17 => self.lose(which),
            18 => self.look(which),
            // Said of an ownership before this one, by somebody who was slow.
            19 if which.is_multiple_of(2) => assert!(!self.lanes.lost(0, self.tag.0 - 1)),
            20 => self.give_up_loading(which),
            _ if self.in_doubt => self.resync(),
            _ => {}
        }
        let actions = self.lanes.dispatch();
        self.perform(actions);
    }

    fn settle(&mut self) {
        for _ in 0..50 * self.messages {
            if self.in_doubt {
                self.resync();
            }
            for operation in [0, 6, 15, 18, 9] {
                self.step(operation, 0);
            }
        }
        // What a stale acknowledgement left behind comes with the next consumer.
        self.resync();
        for _ in 0..4 * self.messages {
            for operation in [0, 6, 15, 18, 9] {
                self.step(operation, 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn order_holds_and_nothing_is_left_behind(
        messages in 1_u64..15,
        debounce_ms in prop::sample::select(vec![0_u32, 35, 80]),
        overlap in prop::sample::select(Overlap::ALL.to_vec()),
        copies in prop::collection::vec((0_u64..15, 0_u64..15), 0..6),
        commands in prop::collection::vec(0_u64..15, 0..4),
        schedule in prop::collection::vec((0_u8..22, any::<usize>()), 0..120),
    ) {
        let settings = TurnSettings { debounce_ms, debounce_max_ms: 120, overlap, max_backlog: None, turns_per_minute: 0, on_edit: omnihub_common::instance::OnEdit::Ignore };
        let mut world = World::new(messages, settings, &copies, &commands);
        for (operation, which) in schedule {
            world.step(operation, which);
        }
        world.settle();
        let all: BTreeSet<u64> = (1..=messages).collect();
        let firsts: BTreeSet<u64> = all.iter().copied().filter(|s| world.name(*s) == *s).collect();
        prop_assert_eq!(&world.done, &firsts);
        prop_assert_eq!(&world.acked, &all);
        prop_assert_eq!(world.lanes.figures(), (0, 0));
    }
}
