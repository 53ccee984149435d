//! Two people with the same names for everything, each with a process `scrubjay mcp` of their own on one store: whatever one of them
//! calls shows and changes nothing of the other's, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::attempts::{Maker, NAMES, Sure, addresses, question, seeds, texts};
use super::stdio::{Talk, home_on};
use crate::backends::Ground;
use crate::support::chance::Chance;
use crate::support::home::Home;

const ANN: &str = "+15550100001";
const BOB: &str = "+15550100002";

/// Stand in everything that the one stores, and in no argument of the other's.
const MARKERS: [&str; 2] = ["only-ann-knows-7141", "only-bob-knows-2093"];

const SEEDS: [u64; 3] = [1, 22, 333];
/// Rounds for a seed, one person's and the other's in turn, and calls in one.
const ROUNDS: usize = 12;
const CALLS: usize = 18;

/// One person's process.
struct Side {
    talk: Talk,
    marker: &'static str,
    /// Texts that name the other.
    texts: Vec<String>,
    /// Calls so far.
    calls: usize,
}

/// What the program has, as a client is told.
struct Offered {
    /// Names and schemas.
    tools: Vec<(String, Value)>,
    read_only: Vec<String>,
    resources: Vec<String>,
}

fn start(home: &Home, number: &str) -> Talk {
    let mut talk = Talk::start(home, &["--user", number], &[]);
    talk.hello();
    talk
}

impl Offered {
    fn to(talk: &mut Talk) -> Self {
        let listed = talk.answer("tools/list", &json!({}))["result"]["tools"].as_array().unwrap().clone();
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        let mut resources: Vec<String> = Vec::new();
        for (method, list, uri) in
            [("resources/list", "resources", "uri"), ("resources/templates/list", "resourceTemplates", "uriTemplate")]
        {
            let answer = talk.answer(method, &json!({}));
            let found = answer["result"][list].as_array().unwrap().iter();
            resources.extend(found.map(|resource| resource[uri].as_str().unwrap().to_owned()));
        }
        assert!(resources.iter().any(|uri| uri == "memory://entity/{name}"), "{resources:?}");
        Self {
            read_only: listed.iter().filter(|tool| tool["annotations"]["readOnlyHint"] == true).map(name).collect(),
            tools: listed.iter().map(|tool| (name(tool), tool["inputSchema"].clone())).collect(),
            resources,
        }
    }

    fn addresses(&self, names: &[&str]) -> Vec<String> {
        addresses(self.resources.iter().map(String::as_str), names)
    }
}

impl Side {
    /// Stores again what may be gone.
    fn seed(&mut self) {
        for (tool, arguments) in seeds(self.marker) {
            let result = self.talk.call(tool, &arguments);
            assert_eq!(result["isError"], false, "{tool}: {result}");
        }
    }

    /// Everything that can be read.
    fn state(&mut self, offered: &Offered) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        let listed = self.talk.call("schedule_list", &json!({}));
        let schedule = &listed["structuredContent"]["schedules"][0]["id"];
        for tool in &offered.read_only {
            state.insert(tool.clone(), self.talk.call(tool, &question(tool, schedule)));
        }
        for uri in offered.addresses(&NAMES) {
            let answer = self.talk.answer("resources/read", &json!({"uri": uri}));
            state.insert(uri, answer["result"].clone());
        }
        state
    }

    /// Calls tools at random and reads every resource, under every name there is.
    fn attempt(&mut self, chance: &Chance, offered: &Offered, others: &str) {
        for _ in 0..CALLS {
            // Each tool in its turn, so that none is left out.
            let (name, schema) = &offered.tools[self.calls % offered.tools.len()];
            self.calls += 1;
            let arguments = Maker { chance, root: schema, texts: &self.texts }.object(schema, 0);
            let result = self.talk.call(name, &arguments);
            assert!(result["isError"].is_boolean(), "{name} {arguments}: {result}");
            assert!(!result.to_string().contains(others), "{name} {arguments} showed what is the other's: {result}");
        }
        let names: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        for uri in offered.addresses(&names) {
            let answer = self.talk.answer("resources/read", &json!({"uri": uri}));
            assert!(!answer.to_string().contains(others), "{uri} showed what is the other's: {answer}");
        }
    }
}

on_every_backend! {
    whatever_two_processes_on_one_store_are_asked_they_keep_to_their_own_person,
    processes_of_two_people_on_one_store_keep_to_their_own,
}

async fn whatever_two_processes_on_one_store_are_asked_they_keep_to_their_own_person(ground: Ground) {
    let seeds_tried = ground.size(SEEDS.len(), 1);
    for seed in SEEDS.into_iter().take(seeds_tried) {
        // Each in a folder of its own. MongoDB's database is one, so there is one seed.
        let home = home_on(&ground);
        let chance = Chance::seeded(seed);
        let (mut ann, mut bob) = (start(&home, ANN), start(&home, BOB));
        let offered = Offered::to(&mut ann);
        assert_eq!(Offered::to(&mut bob).tools, offered.tools);
        let people = home.list(&["users", "list"]).await;
        let id = |number: &str| people.iter().find(|user| user["phoneNumber"] == number).unwrap()["_id"].as_str().unwrap().to_owned();
        let mut sides = [
            Side { talk: ann, marker: MARKERS[0], texts: texts(&id(BOB), BOB), calls: 0 },
            Side { talk: bob, marker: MARKERS[1], texts: texts(&id(ANN), ANN), calls: 0 },
        ];
        for side in &mut sides {
            side.seed();
            for (what, shown) in side.state(&offered).iter().filter(|(what, _)| what.contains("://")) {
                assert!(shown.to_string().contains(side.marker), "{what} shows nothing of what is stored: {shown}");
            }
        }
        for round in 0..ROUNDS {
            let (actor, other) = (round % 2, 1 - round % 2);
            sides[other].seed();
            let before = sides[other].state(&offered);
            sides[actor].attempt(&chance, &offered, MARKERS[other]);
            assert_eq!(sides[other].state(&offered), before, "seed {seed}: round {round} changed what is the other's");
        }
        let all: BTreeSet<String> = offered.tools.iter().map(|(name, _)| name.clone()).collect();
        assert!(sides.iter().all(|side| side.calls >= 3 * all.len()), "too few calls for {} tools", all.len());
        // And each tool does its work, for the one and then for the other.
        for actor in [0, 1] {
            let other = 1 - actor;
            sides[other].seed();
            let before = sides[other].state(&offered);
            let (mut sure, mut worked) = (Sure::new(), BTreeSet::new());
            while let Some((tool, arguments)) = sure.next() {
                let result = sides[actor].talk.call(tool, &arguments);
                sure.took(tool, &result);
                assert!(!result.to_string().contains(MARKERS[other]), "{tool} showed what is the other's: {result}");
                worked.insert(tool.to_owned());
            }
            assert_eq!(worked, all, "every tool did its work");
            assert_eq!(sides[other].state(&offered), before, "what worked for the one changed what is the other's");
        }
        for side in &mut sides {
            side.talk.end_input();
            assert!(side.talk.ended().success(), "{}", home.log());
        }
        assert!(MARKERS.iter().all(|marker| !home.log().contains(marker)), "the log holds what somebody stored");
    }
}

/// With a server beside them, which reads what they wrote.
async fn processes_of_two_people_on_one_store_keep_to_their_own(ground: Ground) {
    let home = home_on(&ground);
    let (mut ann, mut bob) = (start(&home, ANN), start(&home, BOB));
    let product = home.serve().await;
    for (talk, marker) in [(&mut ann, MARKERS[0]), (&mut bob, MARKERS[1])] {
        for (tool, arguments) in seeds(marker) {
            assert_eq!(talk.call(tool, &arguments)["isError"], false, "{tool}");
        }
    }
    let uris = Offered::to(&mut ann).addresses(&NAMES);
    let token = home.json(&["token", "create", "--user", ANN]).await["token"].as_str().unwrap().to_owned();
    let client = crate::support::http_client();
    for uri in uris {
        let read = |talk: &mut Talk| talk.answer("resources/read", &json!({"uri": uri}))["result"]["contents"][0]["text"].clone();
        let (hers, his) = (read(&mut ann), read(&mut bob));
        assert!(hers.as_str().unwrap().contains(MARKERS[0]) && !his.as_str().unwrap().contains(MARKERS[0]), "{uri}: {hers} {his}");
        // What her process wrote, her token reads from the server.
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri}});
        let request = client.post(product.url("/mcp")).bearer_auth(&token).header("accept", "application/json, text/event-stream");
        let answer: Value = request.json(&message).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["result"]["contents"][0]["text"], hers, "{uri}");
    }
    for talk in [&mut ann, &mut bob] {
        talk.end_input();
        assert!(talk.ended().success(), "{}", home.log());
    }
    product.stop().await;
    assert!(!home.log().contains(MARKERS[0]), "the log holds what Ann stored");
}
