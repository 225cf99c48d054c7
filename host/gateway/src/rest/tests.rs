use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use switch::limits::{RING_SECONDS, kept};

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

/// What the router serves and what the document describes is the same: a route that is missing there is missing here.
#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let served: BTreeSet<(String, String)> =
        routes().iter().chain(&open_routes()).map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> =
        paths.iter().flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))).collect();
    assert_eq!(served, described);
}

#[test]
fn every_operation_is_described_as_a_client_needs_it() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path} says nothing of itself");
            let responses = operation["responses"].as_object().unwrap();
            if path == "/v1/openapi.json" {
                continue;
            }
            for status in ["400", "401", "429", "500", "503"] {
                let content = &responses[status]["content"][PROBLEM]["schema"]["$ref"];
                assert_eq!(content, "#/components/schemas/Problem", "{method} {path} {status}");
            }
            for named in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == named && parameter["in"] == "path"),
                    "{method} {path}: {named}"
                );
            }
        }
    }
}

/// utoipa takes numbers only as they are written in an attribute.
#[test]
fn the_document_names_the_limits_that_are_in_force() {
    let document = document();
    let schema = |name: &str, property: &str, limit: &str| document["components"]["schemas"][name]["properties"][property][limit].clone();
    for whole in ["Endpoint", "EndpointPatch"] {
        for (property, limit, most) in [
            ("model", "maxLength", kept::WORD),
            ("serial", "maxLength", kept::WORD),
            ("password", "maxLength", kept::NAME),
            ("name", "maxLength", kept::NAME),
            ("settings", "maxLength", kept::SETTINGS),
            ("keys", "maxItems", kept::KEYS),
            ("users", "maxItems", kept::USERS),
        ] {
            assert_eq!(schema(whole, property, limit), most, "{whole} {property}");
        }
    }
    for whole in ["User", "UserPatch"] {
        assert_eq!((schema(whole, "name", "maxLength"), schema(whole, "numbers", "maxItems")), (kept::NAME.into(), kept::NUMBERS.into()));
        assert_eq!(schema(whole, "ring_seconds", "maximum"), RING_SECONDS, "{whole}");
    }
    // Where a pattern bounds them.
    let text = document.to_string();
    for (bound, most) in [("{1,64}", kept::WORD), ("{0,128}", kept::NAME)] {
        assert!(text.contains(bound) && bound.contains(&most.to_string()), "{bound}");
    }
    for name in ["Endpoint", "EndpointPatch", "User", "UserPatch", "AssignedUser", "Assignment"] {
        assert_eq!(document["components"]["schemas"][name]["additionalProperties"], false, "{name} takes what it does not know");
    }
}

#[test]
fn a_merge_patch_leaves_what_it_does_not_name() {
    let user = || {
        let plain: User = serde_json::from_str(r#"{"extension": "2000"}"#).unwrap();
        Some(User { name: "Alice".to_owned(), enabled: false, forward_busy: Some("2001".to_owned()), ..plain })
    };
    let patch = |text: &str| match serde_json::from_str(text).unwrap() {
        Value::Object(members) => merge(user(), members),
        other => panic!("{other}"),
    };
    assert_eq!(patch("{}").unwrap(), user().unwrap());
    assert_eq!(patch(r#"{"enabled": null, "name": "Al"}"#).unwrap(), User { name: "Al".to_owned(), enabled: true, ..user().unwrap() });
    assert_eq!(
        patch(r#"{"forward_busy": null, "ring_seconds": 20}"#).unwrap(),
        User { forward_busy: None, ring_seconds: Some(20), ..user().unwrap() }
    );
    for wrong in [r#"{"extension": null}"#, r#"{"colour": null}"#, r#"{"enabled": "no"}"#, r#"{"numbers": [null]}"#] {
        assert_eq!(patch(wrong).unwrap_err().problem().status, 400, "{wrong}");
    }
}

#[test]
fn two_rows_of_ids_become_one() {
    let all: Vec<&str> = merged(["a", "c", "z"].into_iter(), ["b", "d"].into_iter()).collect();
    assert_eq!(all, ["a", "b", "c", "d", "z"]);
}
