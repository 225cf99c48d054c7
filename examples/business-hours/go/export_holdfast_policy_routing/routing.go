// Package export_holdfast_policy_routing is the routing hook.
package export_holdfast_policy_routing

import (
	"wit_component/holdfast_policy_calls"
	"wit_component/holdfast_policy_clock"
	"wit_component/holdfast_policy_directory"
	"wit_component/holdfast_policy_routing"
	"wit_component/holdfast_policy_settings"
	"wit_component/holdfast_policy_types"
	"wit_component/rules"
)

// Read once: settings never change during the life of an instance.
var kept *rules.Rules

// Route decides one call.
func Route(facts holdfast_policy_calls.CallFacts, call *holdfast_policy_calls.Call) holdfast_policy_routing.Decision {
	// Whoever does not give the call back before the decision ends, fails.
	defer call.Drop()
	if kept == nil {
		kept, _ = rules.Read(holdfast_policy_settings.All())
	}
	if reason, barred := kept.Bars(facts.Called); barred && !exempt(facts.Caller) {
		return holdfast_policy_routing.MakeDecisionRefuse(holdfast_policy_types.Refusal{
			Status: 403,
			Phrase: "Number barred",
			Detail: facts.Called + ": " + reason,
		})
	}
	inbound := facts.Caller.Tag() == holdfast_policy_calls.Caller_Trunk
	if inbound && kept.Night != "" && !kept.Open(holdfast_policy_clock.NowMs()) {
		return holdfast_policy_routing.MakeDecisionRoute(holdfast_policy_types.Plan{Stages: []holdfast_policy_types.Stage{{
			Targets: []holdfast_policy_types.Target{holdfast_policy_types.MakeTargetEndpoint(kept.Night)},
			Next:    holdfast_policy_types.NextOn{NoAnswer: true, Unreachable: true},
		}}})
	}
	return holdfast_policy_routing.MakeDecisionPass(holdfast_policy_routing.Amendments{})
}

func exempt(caller holdfast_policy_calls.Caller) bool {
	if caller.Tag() != holdfast_policy_calls.Caller_Endpoint {
		return false
	}
	endpoint := holdfast_policy_directory.EndpointById(caller.Endpoint())
	return endpoint.IsSome() && kept.Exempts(endpoint.Some().Extension)
}
