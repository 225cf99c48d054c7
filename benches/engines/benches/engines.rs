//! One decision, extension to extension, in the engines that other servers run their policies in. Each gets the same facts in the way that is usual for it and
//! asks the same host for the endpoint and for how the caller stands; each must give the same decision before it is measured.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::rc::Rc;
use futures_executor::block_on;
use benches::{NOW, call, flow, register};
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::policy::{Engine, EngineSettings, Runner};
use regorus::{languages::rego::compiler::Compiler, rvm::vm::RegoVM};
use std::{collections::HashMap, fs, hint::black_box, sync::Arc};
use switch::{
    Limits,
    decision::{Decision, NextOn, Plan, Refusal, Stage, Target},
    directory::{Directory, Endpoint},
    facts::{Call, Caller},
    licence::Seat,
    site::Site,
};

/// The site of the other benches, with one phone disabled and one registered without a seat.
fn site() -> Arc<Site> {
    let base = benches::site().directory();
    let endpoints = base.endpoints.iter().map(|known| Endpoint { enabled: known.id != "desk-7", ..Endpoint::clone(known) });
    let trunks = base.trunks.iter().map(|known| known.as_ref().clone());
    let directory = Directory::new(
        base.domain.clone(),
        endpoints.collect(),
        base.pools.clone(),
        trunks.collect(),
        base.emergency.clone(),
        base.locations.clone(),
    );
    let site = Arc::new(Site::new(directory, Limits::default()));
    for (id, emergency_only) in [("desk-0", false), ("desk-1", false), ("desk-2", true)] {
        let request = register(id);
        let wish = site.registrar.read(&request).unwrap();
        site.register(id, &wish, &request, flow(), Seat::none(), emergency_only, NOW).unwrap();
    }
    site
}

/// One call for each branch: rings, no extension, no phone of the site, a disabled phone, a phone without a seat.
fn calls(site: &Site) -> [Arc<Call>; 5] {
    [
        call(site, Some("desk-0"), "1001"),
        call(site, Some("desk-0"), "2000"),
        call(site, None, "1001"),
        call(site, Some("desk-0"), "1007"),
        call(site, Some("desk-2"), "1001"),
    ]
}

/// What a policy says, whatever it is written in.
fn said(kind: &str, endpoint: &str, detail: &str) -> Decision {
    match kind {
        "pass" => Decision::Pass(switch::decision::Amendments::default()),
        "route" => Decision::Route(Plan {
            stages: vec![Stage { targets: vec![Target::Endpoint(endpoint.to_owned())], ring: None, next: NextOn::default() }],
        }),
        "disabled" => Decision::Refuse(Refusal::new(404, "Not Found", detail)),
        "emergency-only" => Decision::Refuse(Refusal::new(403, "Emergency calls only", detail)),
        other => panic!("{other}"),
    }
}

fn caller(call: &Call) -> Option<&str> {
    match &call.caller {
        Caller::Endpoint(endpoint) => Some(&endpoint.id),
        Caller::Trunk(_) | Caller::Unknown => None,
    }
}

/// How an endpoint stands with the registrar.
fn standing(site: &Site, id: &str) -> &'static str {
    let bindings = site.registrar.bindings(id, NOW);
    match bindings.iter().all(|binding| binding.emergency_only) {
        _ if bindings.is_empty() => "unregistered",
        true => "emergency-only",
        false => "registered",
    }
}

fn native(call: &Call, site: &Site) -> Decision {
    let directory = site.directory();
    let Some(caller) = caller(call) else { return said("pass", "", "") };
    let Some(callee) = directory.by_extension(&call.called) else { return said("pass", "", "") };
    if !callee.enabled {
        return said("disabled", "", &callee.id);
    }
    if standing(site, caller) == "emergency-only" {
        return said("emergency-only", "", caller);
    }
    said("route", &callee.id, "")
}

/// The shipped `internal`, in instances that are reused or fresh for each decision.
fn component(site: &Arc<Site>, isolation: &str) -> Rc<Runner> {
    let folder = tempfile::tempdir().unwrap();
    for file in Engine::install_shipped(folder.path()).unwrap() {
        if !file.contains("internal") {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    fs::write(folder.path().join("30-internal.toml"), format!("isolation = \"{isolation}\"\n")).unwrap();
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    Engine::start(folder.path(), Arc::clone(site), settings).unwrap().runner(Arc::clone(site))
}

const LUA: &str = r#"
return function(call)
    if call.caller == nil then return { kind = "pass" } end
    local callee = endpoint_by_extension(call.called)
    if callee == nil then return { kind = "pass" } end
    if not callee.enabled then return { kind = "disabled", detail = callee.id } end
    if standing_of(call.caller) == "emergency-only" then return { kind = "emergency-only", detail = call.caller } end
    return { kind = "route", endpoint = callee.id }
end"#;

fn luajit(site: &Arc<Site>) -> impl FnMut(&Call) -> Decision + use<> {
    let lua = mlua::Lua::new();
    let host = Arc::clone(site);
    let endpoint = lua.create_function(move |lua, extension: mlua::LuaString| {
        let Some(found) = host.directory().by_extension(&extension.to_str()?).cloned() else { return Ok(None) };
        let table = lua.create_table_with_capacity(0, 4)?;
        table.raw_set("id", found.id.as_str())?;
        table.raw_set("extension", found.extension.as_str())?;
        table.raw_set("name", found.name.as_str())?;
        table.raw_set("enabled", found.enabled)?;
        Ok(Some(table))
    });
    let host = Arc::clone(site);
    let standing_of = lua.create_function(move |_, id: mlua::LuaString| Ok(standing(&host, &id.to_str()?)));
    lua.globals().set("endpoint_by_extension", endpoint.unwrap()).unwrap();
    lua.globals().set("standing_of", standing_of.unwrap()).unwrap();
    let route: mlua::Function = lua.load(LUA).eval().unwrap();
    move |call| {
        let facts = lua.create_table_with_capacity(0, 5).unwrap();
        facts.raw_set("kind", "normal").unwrap();
        facts.raw_set("caller", caller(call)).unwrap();
        facts.raw_set("called", call.called.as_str()).unwrap();
        facts.raw_set("caller_number", call.caller_number.as_str()).unwrap();
        facts.raw_set("location", call.location.as_deref()).unwrap();
        let answer: mlua::Table = route.call(facts).unwrap();
        let text = |key: &str| answer.raw_get::<Option<mlua::LuaString>>(key).unwrap();
        let (kind, endpoint, detail) = (text("kind"), text("endpoint"), text("detail"));
        let read = |text: &Option<mlua::LuaString>| text.as_ref().map(|text| text.to_str().unwrap().to_owned()).unwrap_or_default();
        said(&read(&kind), &read(&endpoint), &read(&detail))
    }
}

const RHAI: &str = r#"
fn route(facts) {
    if facts.caller == () { return #{ kind: "pass" }; }
    let callee = endpoint_by_extension(facts.called);
    if callee == () { return #{ kind: "pass" }; }
    if !callee.enabled { return #{ kind: "disabled", detail: callee.id }; }
    if standing_of(facts.caller) == "emergency-only" { return #{ kind: "emergency-only", detail: facts.caller }; }
    #{ kind: "route", endpoint: callee.id }
}"#;

fn rhai(site: &Arc<Site>) -> impl FnMut(&Call) -> Decision + use<> {
    use rhai::{Dynamic, ImmutableString, Map};
    let mut engine = rhai::Engine::new();
    let host = Arc::clone(site);
    let host = move || Arc::clone(&host);
    // Without the feature `sync` a function of Rhai need not be `Send`.
    let of = host();
    engine.register_fn("endpoint_by_extension", move |extension: ImmutableString| -> Dynamic {
        of.directory().by_extension(&extension).map_or(Dynamic::UNIT, |found| {
            let mut map = Map::new();
            map.insert("id".into(), found.id.clone().into());
            map.insert("extension".into(), found.extension.clone().into());
            map.insert("name".into(), found.name.clone().into());
            map.insert("enabled".into(), found.enabled.into());
            map.into()
        })
    });
    let of = host();
    engine.register_fn("standing_of", move |id: ImmutableString| -> ImmutableString { standing(&of, &id).into() });
    let program = engine.compile(RHAI).unwrap();
    move |call| {
        let mut facts = Map::new();
        facts.insert("kind".into(), "normal".into());
        facts.insert("caller".into(), caller(call).map_or(Dynamic::UNIT, Into::into));
        facts.insert("called".into(), call.called.clone().into());
        facts.insert("caller_number".into(), call.caller_number.clone().into());
        facts.insert("location".into(), call.location.as_deref().map_or(Dynamic::UNIT, Into::into));
        let answer: Map = engine.call_fn(&mut rhai::Scope::new(), &program, "route", (facts,)).unwrap();
        let text = |key: &str| answer.get(key).map(|value| value.clone().into_immutable_string().unwrap()).unwrap_or_default();
        said(&text("kind"), &text("endpoint"), &text("detail"))
    }
}

/// What the host knows is the document `data` here, as is usual for Rego, and not asked by function.
const REGO: &str = r#"
package policy

import rego.v1

default decision := {"kind": "pass"}

callee := data.by_extension[input.called]

decision := {"kind": "route", "endpoint": callee.id} if {
    input.caller
    callee.enabled
    data.standing[input.caller] != "emergency-only"
}

decision := {"kind": "emergency-only", "detail": input.caller} if {
    input.caller
    callee.enabled
    data.standing[input.caller] == "emergency-only"
}

decision := {"kind": "disabled", "detail": callee.id} if {
    input.caller
    not callee.enabled
}"#;

fn rego(site: &Arc<Site>) -> impl FnMut(&Call) -> Decision + use<> {
    use regorus::{Rc, Value};
    let object = |pairs: Vec<(&str, Value)>| {
        Value::from(pairs.into_iter().map(|(key, value)| (Value::from(key), value)).collect::<std::collections::BTreeMap<_, _>>())
    };
    let directory = site.directory();
    let endpoints = directory.endpoints.iter().map(|found| {
        let about = object(vec![
            ("id", found.id.as_str().into()),
            ("extension", found.extension.as_str().into()),
            ("name", found.name.as_str().into()),
            ("enabled", found.enabled.into()),
        ]);
        (Value::from(found.extension.as_str()), about)
    });
    let standings = directory.endpoints.iter().map(|found| (Value::from(found.id.as_str()), Value::from(standing(site, &found.id))));
    let data = object(vec![
        ("by_extension", Value::from(endpoints.collect::<std::collections::BTreeMap<_, _>>())),
        ("standing", Value::from(standings.collect::<std::collections::BTreeMap<_, _>>())),
    ]);
    let mut engine = regorus::Engine::new();
    engine.add_policy("policy.rego".to_owned(), REGO.to_owned()).unwrap();
    engine.add_data(data.clone()).unwrap();
    let compiled = engine.compile_with_entrypoint(&Rc::from("data.policy.decision")).unwrap();
    let program = Compiler::compile_from_policy(&compiled, &["data.policy.decision"]).unwrap();
    let mut machine = RegoVM::new();
    machine.load_program(program);
    machine.set_data(data).unwrap();
    move |call| {
        let optional = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        machine.set_input(object(vec![
            ("kind", "normal".into()),
            ("caller", optional(caller(call))),
            ("called", call.called.as_str().into()),
            ("caller_number", call.caller_number.as_str().into()),
            ("location", optional(call.location.as_deref())),
        ]));
        let answer = machine.execute().unwrap();
        let text = |key: &str| answer[key].as_string().map(|text| text.to_string()).unwrap_or_default();
        said(&text("kind"), &text("endpoint"), &text("detail"))
    }
}

const CEL: &str = r#"
caller == null ? {"kind": "pass"} : [endpoint_by_extension(called)].map(callee,
    callee == null ? {"kind": "pass"}
    : !callee.enabled ? {"kind": "disabled", "detail": callee.id}
    : standing_of(caller) == "emergency-only" ? {"kind": "emergency-only", "detail": caller}
    : {"kind": "route", "endpoint": callee.id})[0]
"#;

fn cel(site: &Arc<Site>) -> impl FnMut(&Call) -> Decision + use<> {
    use cel::{Context, Program, Value, objects::Key};
    let mut context = Context::default();
    let host = Arc::clone(site);
    let endpoint = move |extension: Arc<String>| {
        host.directory().by_extension(&extension).map_or(Value::Null, |found| {
            let about: HashMap<Key, Value> = HashMap::from([
                ("id".into(), found.id.as_str().into()),
                ("extension".into(), found.extension.as_str().into()),
                ("name".into(), found.name.as_str().into()),
                ("enabled".into(), found.enabled.into()),
            ]);
            about.into()
        })
    };
    context.add_function("endpoint_by_extension", endpoint).unwrap();
    let host = Arc::clone(site);
    context.add_function("standing_of", move |id: Arc<String>| standing(&host, &id).to_owned()).unwrap();
    let program = Program::compile(CEL).unwrap();
    move |call| {
        let optional = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let mut facts = context.new_inner_scope();
        facts.add_variable_from_value("kind", "normal");
        facts.add_variable_from_value("caller", optional(caller(call)));
        facts.add_variable_from_value("called", call.called.as_str());
        facts.add_variable_from_value("caller_number", call.caller_number.as_str());
        facts.add_variable_from_value("location", optional(call.location.as_deref()));
        let Value::Map(answer) = program.execute(&facts).unwrap() else { panic!("no map") };
        let text = |key: &str| match answer.map.get(&Key::from(key)) {
            Some(Value::String(text)) => text.to_string(),
            _ => String::new(),
        };
        said(&text("kind"), &text("endpoint"), &text("detail"))
    }
}

/// Measures what decides as native Rust does, in every branch.
fn row(c: &mut Criterion, name: &str, site: &Site, mut decide: impl FnMut(&Call) -> Decision) {
    for call in calls(site) {
        let (told, expected) = (decide(&call), native(&call, site));
        // The words of the operator's log are each policy's own.
        let words = |decision: Decision| match decision {
            Decision::Refuse(refusal) => Decision::Refuse(Refusal { detail: String::new(), ..refusal }),
            other => other,
        };
        assert_eq!(words(told), words(expected), "{name}: {}", call.called);
    }
    let inside = call(site, Some("desk-0"), "1001");
    c.bench_function(&format!("engines: {name}"), |b| b.iter(|| black_box(decide(black_box(&inside)))));
}

fn engines(c: &mut Criterion) {
    let site = site();
    let floor: &dyn Fn(&Call, &Site) -> Decision = black_box(&native);
    row(c, "native Rust", &site, |call| floor(call, &site));
    for isolation in ["reused", "fresh"] {
        let runner = component(&site, isolation);
        let mut steps = Vec::with_capacity(8);
        let (mut current, mut at) = (call(&site, Some("desk-0"), "1001"), std::ptr::null::<Call>());
        row(c, &format!("component, {isolation}"), &site, |call| {
            // The runner takes the call as the chain amends it; a copy of it is no part of a decision.
            if !std::ptr::eq(at, call) {
                (current, at) = (Arc::new(call.clone()), call);
            }
            steps.clear();
            let decision = block_on(runner.route(&mut current, &mut steps));
            // A chain of one that passes ends in the host's own refusal.
            if steps.iter().any(|step| step.passed) { said("pass", "", "") } else { decision }
        });
    }
    row(c, "LuaJIT", &site, luajit(&site));
    row(c, "Rhai", &site, rhai(&site));
    row(c, "Rego", &site, rego(&site));
    row(c, "CEL", &site, cel(&site));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(3)).warm_up_time(std::time::Duration::from_secs(1));
    targets = engines
}
criterion_main!(benches);
