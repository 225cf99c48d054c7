// Package export_holdfast_policy_configuration is the configuration hook.
package export_holdfast_policy_configuration

import (
	"wit_component/holdfast_policy_configuration"
	"wit_component/holdfast_policy_settings"
	"wit_component/rules"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

type (
	problems = []holdfast_policy_configuration.Problem
	result   = witTypes.Result[witTypes.Unit, problems]
)

// Check says what is wrong with the settings.
func Check(settings []holdfast_policy_settings.Setting) result {
	if _, problems := rules.Read(settings); len(problems) > 0 {
		return witTypes.Err[witTypes.Unit](problems)
	}
	return witTypes.Ok[witTypes.Unit, problems](witTypes.Unit{})
}
