//! Who decides where and with what a turn is answered, by table.

use super::*;
use crate::config::sections::AgentSettings;

fn endpoint(models: &[&str], default_model: &str) -> EndpointSettings {
    EndpointSettings {
        kind: EndpointKind::OpenAi,
        base_url: "http://localhost:1/v1".to_owned(),
        api_key: "".into(),
        models: models.iter().map(|&model| model.to_owned()).collect(),
        default_model: default_model.to_owned(),
        add_params: Map::new(),
        drop_params: vec![],
        tools: true,
        max_tokens: 100,
        connect_seconds: 1,
        first_token_seconds: 1,
        idle_seconds: 1,
        total_seconds: 1,
        retries: 0,
        prompt_token_credits: 0.5,
        completion_token_credits: 2.0,
    }
}

fn agent(name: &str, endpoint: &str, model: &str) -> AgentSettings {
    let endpoint = Endpoint::parse(endpoint).unwrap();
    AgentSettings {
        name: name.to_owned(),
        instructions: format!("You are {name}."),
        endpoint,
        model: model.to_owned(),
        parameters: Map::new(),
        tools: vec!["memory".to_owned()],
        servers: vec!["outside".to_owned()],
        max_steps: 3,
        parallel: 2,
        tool_seconds: 1,
        turn_seconds: 2,
        tool_output_characters: 100,
    }
}

/// `openAI` takes any model, `listed` three, `demo` is built in; two agents, one with a model of its own.
fn settings() -> (Endpoints, Agents) {
    let demo = EndpointSettings { kind: EndpointKind::Demo, ..endpoint(&[], "demo") };
    let named = [("openAI", endpoint(&[], "gpt")), ("listed", endpoint(&["small", "large"], "medium")), ("demo", demo)];
    let named = named.into_iter().map(|(name, settings)| (name.to_owned(), settings)).collect();
    let agents = [("agent_own", agent("Own", "listed", "large")), ("agent_plain", agent("Plain", "demo", ""))];
    let agents = agents.into_iter().map(|(id, settings)| (id.parse().unwrap(), settings)).collect();
    (Endpoints { default: Endpoint::parse("openai").unwrap(), named }, Agents { default: None, named: agents })
}

fn open((endpoints, agents): &(Endpoints, Agents)) -> Result<Models, ModelsError> {
    Models::open(endpoints, agents, 7)
}

/// A choice written as `endpoint model agent`, with `-` for none.
fn choice(text: &str) -> Choice {
    let mut words = text.split(' ').map(|word| Some(word).filter(|word| *word != "-"));
    let mut next = || words.next().flatten();
    Choice {
        endpoint: next().map(|name| Endpoint::parse(name).unwrap()),
        model: next().map(str::to_owned),
        agent_id: next().map(|id| id.parse().unwrap()),
    }
}

fn preferences(text: &str) -> Preferences {
    let Choice { endpoint, model, agent_id } = choice(text);
    Preferences { endpoint, default_model: model, agent_id, time_zone: None, quiet_hours: None }
}

/// `endpoint served_by model agent` of what was resolved, `!` for each choice that was passed over, or the error.
fn resolved(models: &Models, request: &str, person: &str, conversation: &str) -> String {
    match models.resolve(&choice(request), &preferences(person), &choice(conversation)) {
        Ok(resolved) => {
            let agent = resolved.agent.as_ref().map_or("-", |agent| agent.id.as_str());
            let over = "!".repeat(resolved.passed_over.len());
            format!("{} {} {} {agent}{over}", resolved.endpoint, resolved.served_by, resolved.model)
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn request_then_person_then_conversation_then_configuration_decide() {
    let models = open(&settings()).unwrap();
    for (request, person, conversation, expected) in [
        ("- - -", "- - -", "- - -", "openAI openAI gpt -"),
        ("demo - -", "listed - -", "openAI - -", "demo demo demo -"),
        ("- - -", "listed - -", "demo - -", "listed listed medium -"),
        ("- - -", "- - -", "demo - -", "demo demo demo -"),
        ("OPENAI - -", "- - -", "- - -", "openAI openAI gpt -"),
        // Models, at an endpoint that takes any.
        ("- a -", "- b -", "- c -", "openAI openAI a -"),
        ("- - -", "- b -", "- c -", "openAI openAI b -"),
        ("- - -", "- - -", "- c -", "openAI openAI c -"),
        // A model chosen for one endpoint is not carried to another …
        ("- - -", "openAI gpt-x -", "demo - -", "openAI openAI gpt-x -"),
        ("demo - -", "openAI gpt-x -", "- - -", "demo demo demo -"),
        ("demo - -", "- gpt-x -", "- - -", "demo demo demo -"),
        ("listed - -", "openAI gpt-x -", "- - -", "listed listed medium -"),
        ("- - -", "demo - -", "openAI gpt-x -", "demo demo demo -"),
        // … unless that one lists it.
        ("listed - -", "openAI small -", "- - -", "listed listed small -"),
        ("listed - -", "- gone -", "- large -", "listed listed large -"),
        ("- medium -", "listed - -", "- - -", "listed listed medium -"),
        // Stored choices that are no longer offered are passed over.
        ("- - -", "gone - -", "demo - -", "demo demo demo -!"),
        ("- - -", "gone - -", "lost - -", "openAI openAI gpt -!!"),
        ("- - -", "listed gone -", "- small -", "listed listed small -!"),
        ("- - -", "agents - -", "demo - -", "demo demo demo -!"),
        ("- - -", "agents - agent_gone", "- - -", "openAI openAI gpt -!!"),
        // Agents run at their own endpoint, with their own model.
        ("agents x agent_own", "demo y -", "- z -", "agents listed large agent_own"),
        ("agents - -", "- - agent_plain", "- - agent_own", "agents demo demo agent_plain"),
        ("- - -", "- - -", "agents - agent_own", "agents listed large agent_own"),
        ("agents - -", "- - agent_gone", "- - agent_own", "agents listed large agent_own!"),
        ("- - agent_own", "- - -", "- - -", "openAI openAI gpt -"),
        // What the request itself asks for must be there.
        ("gone - -", "- - -", "- - -", "endpoint gone is not configured; configured are demo, listed, openAI, agents"),
        ("listed x -", "- - -", "- - -", "endpoint listed does not offer the model \"x\"; it offers small, large, medium"),
        ("- x -", "listed - -", "- - -", "endpoint listed does not offer the model \"x\"; it offers small, large, medium"),
        ("agents - agent_x", "- - -", "- - -", "agent agent_x is not configured; configured are agent_own, agent_plain"),
        ("- - agent_x", "agents - -", "- - -", "agent agent_x is not configured; configured are agent_own, agent_plain"),
        ("agents - -", "- - -", "- - -", "agent_id required for agent endpoint; configured are agent_own, agent_plain"),
    ] {
        assert_eq!(
            resolved(&models, request, person, conversation),
            expected,
            "request {request}, person {person}, conversation {conversation}"
        );
    }
}

#[test]
fn a_default_agent_answers_when_none_was_chosen() {
    let (mut endpoints, mut agents) = settings();
    endpoints.default = Endpoint::agents();
    let without = open(&(endpoints.clone(), agents.clone())).unwrap();
    assert!(resolved(&without, "- - -", "- - -", "- - -").starts_with("agent_id required"));
    agents.default = Some("agent_own".parse().unwrap());
    let models = open(&(endpoints, agents)).unwrap();
    assert_eq!(resolved(&models, "- - -", "- - -", "- - -"), "agents listed large agent_own");
    assert_eq!(resolved(&models, "- - -", "- - agent_plain", "- - -"), "agents demo demo agent_plain");
}

#[test]
fn what_is_resolved_carries_the_service_the_instructions_and_the_prices() {
    let models = open(&settings()).unwrap();
    let resolved = models.resolve(&choice("agents - agent_own"), &Preferences::default(), &Choice::default()).unwrap();
    assert_eq!(&*resolved.agent.as_ref().unwrap().instructions, "You are Own.");
    assert_eq!(resolved.prices, Prices { prompt_token: 0.5, completion_token: 2.0, segment: 7 });
    assert_eq!(resolved.max_tokens, 100);
    assert!(Arc::ptr_eq(&resolved.service, &models.get(&Endpoint::parse("listed").unwrap()).unwrap()));
    assert!(models.get(&Endpoint::agents()).is_none() && models.offers(&Endpoint::agents()));
    assert!(models.get(&Endpoint::parse("gone").unwrap()).is_none() && !models.offers(&Endpoint::parse("gone").unwrap()));
    assert!(models.has_agent(&"agent_own".parse().unwrap()) && !models.has_agent(&"agent_x".parse().unwrap()));
    assert_eq!(models.iter().count(), 3);
}

#[test]
fn settings_that_no_model_can_be_opened_with_are_named() {
    type Change = fn(&mut Endpoints, &mut Agents);
    let cases: [(Change, &str); 10] = [
        (
            |e, _| e.default = Endpoint::parse("gone").unwrap(),
            "endpoints.default \"gone\" is not configured; configured are demo, listed, openAI, agents",
        ),
        (|e, _| drop(e.named.insert("agents".to_owned(), endpoint(&[], "m"))), "endpoints.agents cannot be configured"),
        (
            |e, _| drop(e.named.insert("external".to_owned(), endpoint(&[], "m"))),
            "endpoints.external: \"external\" is the role of a message",
        ),
        (|e, _| drop(e.named.insert("OpenAI".to_owned(), endpoint(&[], "m"))), "endpoints.openAI is configured twice"),
        (|e, _| drop(e.named.insert("x".to_owned(), endpoint(&["m"], ""))), "endpoints.x.default_model is empty"),
        (|e, _| e.named.get_mut("openAI").unwrap().base_url = "localhost".to_owned(), "endpoints.openAI.base_url is wrong"),
        (|e, _| e.named.get_mut("openAI").unwrap().api_key = "two\nlines".into(), "endpoints.openAI.api_key holds characters"),
        (
            |_, a| a.default = Some("agent_x".parse().unwrap()),
            "agents.default \"agent_x\" is not configured; configured are agent_own, agent_plain",
        ),
        (
            |_, a| drop(a.named.insert("agent_x".parse().unwrap(), agent("X", "gone", ""))),
            "agents.agent_x.endpoint \"gone\" is not configured",
        ),
        (
            |_, a| drop(a.named.insert("agent_x".parse().unwrap(), agent("X", "listed", "huge"))),
            "agents.agent_x.model \"huge\" is not offered by endpoints.listed; it offers small, large, medium",
        ),
    ];
    for (change, expected) in cases {
        let (mut endpoints, mut agents) = settings();
        change(&mut endpoints, &mut agents);
        let error = open(&(endpoints, agents)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}\nwanted {expected}");
        assert!(!error.contains("two"), "no secret is shown");
    }
}

#[test]
fn an_agent_cannot_run_at_the_endpoint_of_agents() {
    let (endpoints, mut agents) = settings();
    agents.named.insert("agent_x".parse().unwrap(), agent("X", "agents", ""));
    let error = open(&(endpoints, agents)).err().unwrap().to_string();
    assert!(error.contains("agents.agent_x.endpoint \"agents\" is not configured"), "{error}");
}
