// Package rules holds the policy's settings, ready to use: outside business hours inbound calls ring at night; calls to barred numbers are refused with a
// reason.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wit_component/holdfast_policy_configuration"
	"wit_component/holdfast_policy_directory"
	"wit_component/holdfast_policy_settings"
)

const day = 24 * 60

var (
	days       = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	spanText   = regexp.MustCompile(`^([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])$`)
	prefixText = regexp.MustCompile(`^[0-9+*#]{1,32}$`)
	barredKey  = regexp.MustCompile(`^barred\.([0-9]+)\.(prefix|reason)$`)
)

// Rules are the settings of one site.
type Rules struct {
	utcOffsetMinutes int64
	// Monday first.
	hours [7][]span
	// Night is the endpoint that rings outside the hours; empty when hours change nothing.
	Night  string
	exempt []string
	barred []barred
}

// Minutes since midnight, the end excluded.
type span struct{ begin, end int64 }

type barred struct{ prefix, reason *string }

// Read makes rules of settings, and says what is wrong with them.
func Read(settings []holdfast_policy_settings.Setting) (*Rules, []holdfast_policy_configuration.Problem) {
	rules := &Rules{}
	var problems []holdfast_policy_configuration.Problem
	problem := func(key, message string) {
		problems = append(problems, holdfast_policy_configuration.Problem{Key: key, Message: message})
	}
	timetable, night := false, false
	for _, setting := range settings {
		key, value := setting.Key, setting.Value
		text := ""
		if value.Tag() == holdfast_policy_settings.Value_Text {
			text = value.Text()
		}
		if weekday := slices.Index(days, key); weekday >= 0 {
			timetable = true
			if value.Tag() != holdfast_policy_settings.Value_Texts {
				problem(key, "should be an array of time spans")
				continue
			}
			for _, text := range value.Texts() {
				if span, ok := parse(text); ok {
					rules.hours[weekday] = append(rules.hours[weekday], span)
				} else {
					problem(key, fmt.Sprintf("`%s` is no time span: write it like 08:00-17:30", text))
				}
			}
			continue
		}
		if part := barredKey.FindStringSubmatch(key); part != nil {
			index, _ := strconv.Atoi(part[1])
			if index == len(rules.barred) {
				rules.barred = append(rules.barred, barred{})
			}
			if part[2] == "prefix" {
				rules.barred[index].prefix = &text
				if !prefixText.MatchString(text) {
					problem(key, "should be 1 to 32 digits, +, * or #")
				}
			} else {
				rules.barred[index].reason = &text
				if len(text) < 1 || len(text) > 200 {
					problem(key, "should be a text of 1 to 200 octets")
				}
			}
			continue
		}
		switch key {
		case "utc_offset_minutes":
			if value.Tag() == holdfast_policy_settings.Value_Number && value.Number() >= -720 && value.Number() <= 840 {
				rules.utcOffsetMinutes = value.Number()
			} else {
				problem(key, "should be an integer from -720 to 840")
			}
		case "night":
			night = true
			rules.Night = text
			if value.Tag() != holdfast_policy_settings.Value_Text {
				problem(key, "should be the id of an endpoint")
			} else if holdfast_policy_directory.EndpointById(text).IsNone() {
				problem(key, fmt.Sprintf("there is no endpoint `%s`", text))
			}
		case "exempt":
			if value.Tag() == holdfast_policy_settings.Value_Texts {
				rules.exempt = value.Texts()
			} else {
				problem(key, "should be an array of extensions")
			}
		default:
			problem(key, "is not a setting of this policy")
		}
	}
	for index, barred := range rules.barred {
		if barred.prefix == nil {
			problem(fmt.Sprintf("barred.%d.prefix", index), "is missing")
		}
		if barred.reason == nil {
			problem(fmt.Sprintf("barred.%d.reason", index), "is missing")
		}
	}
	if timetable && !night {
		problem("night", "is missing: which endpoint rings outside the hours?")
	}
	return rules, problems
}

// `08:00-17:30`; 24:00 is the end of the day.
func parse(text string) (span, bool) {
	part := spanText.FindStringSubmatch(text)
	if part == nil {
		return span{}, false
	}
	minute := func(hour, minute string) int64 {
		h, _ := strconv.ParseInt(hour, 10, 64)
		m, _ := strconv.ParseInt(minute, 10, 64)
		return h*60 + m
	}
	found := span{minute(part[1], part[2]), minute(part[3], part[4])}
	return found, found.begin < found.end && found.end <= day
}

// Bars says whether `called` is barred, and why.
func (rules *Rules) Bars(called string) (string, bool) {
	for _, barred := range rules.barred {
		if barred.prefix != nil && barred.reason != nil && strings.HasPrefix(called, *barred.prefix) {
			return *barred.reason, true
		}
	}
	return "", false
}

// Exempts says whether the extension may call barred numbers.
func (rules *Rules) Exempts(extension string) bool {
	return slices.Contains(rules.exempt, extension)
}

// Open says whether the time is within the hours.
func (rules *Rules) Open(nowMs uint64) bool {
	minutes := int64(nowMs/60_000) + rules.utcOffsetMinutes
	date, minute := minutes/day, minutes%day
	if minute < 0 {
		date, minute = date-1, minute+day
	}
	// 1970-01-01 was a Thursday; no clock is more than a week before it.
	return slices.ContainsFunc(rules.hours[(date+3+7)%7], func(span span) bool {
		return span.begin <= minute && minute < span.end
	})
}
