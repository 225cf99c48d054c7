// Outside business hours inbound calls ring at night; calls to barred numbers are refused with a reason.

#include "business_hours.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef business_hours_string_t text;

enum { DAYS = 7, SPANS = 8, BARRED = 64, DAY = 24 * 60 };

static const char *const DAY_NAMES[DAYS] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

// Minutes since midnight, the end excluded.
struct span {
    int begin, end;
};

// The settings, ready to use. What lies beyond a limit of this program is a problem of the settings.
struct rules {
    int64_t utc_offset_minutes;
    struct span hours[DAYS][SPANS]; // Monday first
    size_t spans[DAYS];
    const text *night;
    business_hours_list_string_t exempt; // extensions that may call barred numbers
    const text *prefix[BARRED], *reason[BARRED];
    size_t barred;
};

struct problems {
    exports_holdfast_policy_configuration_problem_t *list;
    size_t count;
};

static bool is(text t, const char *word) { return t.len == strlen(word) && memcmp(t.ptr, word, t.len) == 0; }

static bool begins(text t, text with) { return t.len >= with.len && memcmp(t.ptr, with.ptr, with.len) == 0; }

static bool same(text a, text b) { return a.len == b.len && begins(a, b); }

// One more problem; `before`, `about` and `after` become one sentence.
static void problem(struct problems *problems, text key, const char *before, text about, const char *after) {
    problems->list = realloc(problems->list, (problems->count + 1) * sizeof *problems->list);
    if (!problems->list) abort();
    exports_holdfast_policy_configuration_problem_t *new = &problems->list[problems->count++];
    business_hours_string_dup_n(&new->key, (const char *)key.ptr, key.len);
    size_t begin = strlen(before), end = strlen(after);
    text *message = &new->message;
    message->len = begin + about.len + end;
    message->ptr = malloc(message->len);
    if (!message->ptr) abort();
    memcpy(message->ptr, before, begin);
    memcpy(message->ptr + begin, about.ptr, about.len);
    memcpy(message->ptr + begin + about.len, after, end);
}

static const text NOTHING = {(uint8_t *)"", 0};

static void simply(struct problems *problems, text key, const char *message) { problem(problems, key, message, NOTHING, ""); }

// `08:00` in minutes; -1 for anything else.
static int minute_of(const uint8_t *t) {
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9') return -1;
    }
    int hour = (t[0] - '0') * 10 + t[1] - '0', minute = (t[3] - '0') * 10 + t[4] - '0';
    return minute < 60 ? hour * 60 + minute : -1;
}

// `08:00-17:30`; 24:00 is the end of the day.
static bool span_of(text t, struct span *span) {
    if (t.len != 11 || t.ptr[5] != '-') return false;
    span->begin = minute_of(t.ptr);
    span->end = minute_of(t.ptr + 6);
    return span->begin >= 0 && span->begin < span->end && span->end <= DAY;
}

static bool is_prefix(text t) {
    for (size_t i = 0; i < t.len; i++) {
        if (!t.ptr[i] || !strchr("0123456789+*#", t.ptr[i])) return false;
    }
    return t.len >= 1 && t.len <= 32;
}

// The N and the place of `barred.N.prefix` or `barred.N.reason`; `NULL` for any other key. They come in the order of N.
static const text **barred_part(struct rules *rules, text key) {
    size_t at = 7, index = 0;
    if (key.len < at || memcmp(key.ptr, "barred.", at) != 0) return NULL;
    for (; at < key.len && key.ptr[at] >= '0' && key.ptr[at] <= '9'; at++) index = index * 10 + key.ptr[at] - '0';
    text name = {key.ptr + at, key.len - at};
    bool prefix = is(name, ".prefix");
    if (at == 7 || index > rules->barred || index >= BARRED || !(prefix || is(name, ".reason"))) return NULL;
    if (index == rules->barred) rules->barred++;
    return prefix ? &rules->prefix[index] : &rules->reason[index];
}

static void read_day(struct rules *rules, int day, text key, const holdfast_policy_settings_value_t *value, struct problems *problems) {
    if (value->tag != HOLDFAST_POLICY_SETTINGS_VALUE_TEXTS) {
        simply(problems, key, "should be an array of time spans");
        return;
    }
    for (size_t i = 0; i < value->val.texts.len; i++) {
        struct span span;
        if (!span_of(value->val.texts.ptr[i], &span)) {
            problem(problems, key, "`", value->val.texts.ptr[i], "` is no time span: write it like 08:00-17:30");
        } else if (rules->spans[day] == SPANS) {
            simply(problems, key, "has more than 8 time spans");
        } else {
            rules->hours[day][rules->spans[day]++] = span;
        }
    }
}

static void read_one(struct rules *rules, text key, holdfast_policy_settings_value_t *value, struct problems *problems) {
    bool is_text = value->tag == HOLDFAST_POLICY_SETTINGS_VALUE_TEXT;
    for (int day = 0; day < DAYS; day++) {
        if (is(key, DAY_NAMES[day])) {
            read_day(rules, day, key, value, problems);
            return;
        }
    }
    const text **barred = barred_part(rules, key);
    if (barred) {
        *barred = is_text ? &value->val.text : &NOTHING;
        if (key.ptr[key.len - 1] == 'x') {
            if (!is_prefix(**barred)) simply(problems, key, "should be 1 to 32 digits, +, * or #");
        } else if ((*barred)->len < 1 || (*barred)->len > 200) {
            simply(problems, key, "should be a text of 1 to 200 octets");
        }
    } else if (is(key, "utc_offset_minutes")) {
        rules->utc_offset_minutes = value->val.number;
        if (value->tag != HOLDFAST_POLICY_SETTINGS_VALUE_NUMBER || value->val.number < -720 || value->val.number > 840) {
            simply(problems, key, "should be an integer from -720 to 840");
        }
    } else if (is(key, "night")) {
        rules->night = &value->val.text;
        holdfast_policy_directory_endpoint_t endpoint;
        if (!is_text) {
            simply(problems, key, "should be the id of an endpoint");
        } else if (holdfast_policy_directory_endpoint_by_id(&value->val.text, &endpoint)) {
            holdfast_policy_directory_endpoint_free(&endpoint);
        } else {
            problem(problems, key, "there is no endpoint `", value->val.text, "`");
        }
    } else if (is(key, "exempt")) {
        if (value->tag == HOLDFAST_POLICY_SETTINGS_VALUE_TEXTS) rules->exempt = value->val.texts;
        else simply(problems, key, "should be an array of extensions");
    } else {
        simply(problems, key, "is not a setting of this policy");
    }
}

// The rules point into `settings`, which must stay.
static struct rules read_rules(holdfast_policy_settings_list_setting_t settings, struct problems *problems) {
    struct rules rules = {0};
    bool timetable = false;
    for (size_t i = 0; i < settings.len; i++) {
        read_one(&rules, settings.ptr[i].key, &settings.ptr[i].value, problems);
        for (int day = 0; day < DAYS; day++) timetable |= is(settings.ptr[i].key, DAY_NAMES[day]);
    }
    for (size_t index = 0; index < rules.barred; index++) {
        char key[32];
        for (int part = 0; part < 2; part++) {
            int length = snprintf(key, sizeof key, "barred.%zu.%s", index, part ? "reason" : "prefix");
            if (!(part ? rules.reason : rules.prefix)[index]) simply(problems, (text){(uint8_t *)key, (size_t)length}, "is missing");
        }
    }
    if (timetable && !rules.night) simply(problems, (text){(uint8_t *)"night", 5}, "is missing: which endpoint rings outside the hours?");
    return rules;
}

static bool is_open(const struct rules *rules, uint64_t now_ms) {
    int64_t minutes = (int64_t)(now_ms / 60000) + rules->utc_offset_minutes;
    int64_t day = minutes / DAY, minute = minutes % DAY;
    if (minute < 0) day--, minute += DAY;
    // 1970-01-01 was a Thursday; no clock is more than a week before it.
    size_t weekday = (size_t)((day + 3 + 7) % 7);
    for (size_t i = 0; i < rules->spans[weekday]; i++) {
        struct span span = rules->hours[weekday][i];
        if (span.begin <= minute && minute < span.end) return true;
    }
    return false;
}

static bool exempts(const struct rules *rules, holdfast_policy_calls_caller_t *caller) {
    holdfast_policy_directory_endpoint_t endpoint;
    if (caller->tag != HOLDFAST_POLICY_CALLS_CALLER_ENDPOINT) return false;
    if (!holdfast_policy_directory_endpoint_by_id(&caller->val.endpoint, &endpoint)) return false;
    bool found = false;
    for (size_t i = 0; i < rules->exempt.len; i++) found |= same(rules->exempt.ptr[i], endpoint.extension);
    holdfast_policy_directory_endpoint_free(&endpoint);
    return found;
}

// Read once: settings never change during the life of an instance.
static const struct rules *kept_rules(void) {
    static struct rules rules;
    static bool read = false;
    if (!read) {
        holdfast_policy_settings_list_setting_t settings;
        holdfast_policy_settings_all(&settings);
        struct problems ignored = {0};
        rules = read_rules(settings, &ignored);
        read = true;
    }
    return &rules;
}

static void refuse(exports_holdfast_policy_routing_decision_t *decision, text called, text reason) {
    exports_holdfast_policy_routing_refusal_t *refusal = &decision->val.refuse;
    decision->tag = EXPORTS_HOLDFAST_POLICY_ROUTING_DECISION_REFUSE;
    refusal->status = 403;
    business_hours_string_dup(&refusal->phrase, "Number barred");
    refusal->detail.len = called.len + 2 + reason.len;
    refusal->detail.ptr = malloc(refusal->detail.len);
    if (!refusal->detail.ptr) abort();
    memcpy(refusal->detail.ptr, called.ptr, called.len);
    memcpy(refusal->detail.ptr + called.len, ": ", 2);
    memcpy(refusal->detail.ptr + called.len + 2, reason.ptr, reason.len);
}

static void ring(exports_holdfast_policy_routing_decision_t *decision, text endpoint) {
    holdfast_policy_types_stage_t *stage = calloc(1, sizeof *stage);
    holdfast_policy_types_target_t *target = calloc(1, sizeof *target);
    if (!stage || !target) abort();
    target->tag = HOLDFAST_POLICY_TYPES_TARGET_ENDPOINT;
    business_hours_string_dup_n(&target->val.endpoint, (const char *)endpoint.ptr, endpoint.len);
    stage->targets = (holdfast_policy_types_list_target_t){target, 1};
    stage->next.no_answer = stage->next.unreachable = true;
    decision->tag = EXPORTS_HOLDFAST_POLICY_ROUTING_DECISION_ROUTE;
    decision->val.route.stages = (holdfast_policy_types_list_stage_t){stage, 1};
}

void exports_holdfast_policy_routing_route(exports_holdfast_policy_routing_call_facts_t *facts,
                                           exports_holdfast_policy_routing_borrow_call_t call,
                                           exports_holdfast_policy_routing_decision_t *decision) {
    const struct rules *rules = kept_rules();
    // Whoever does not give the call back before the decision ends, fails.
    holdfast_policy_calls_call_drop_borrow(call);
    *decision = (exports_holdfast_policy_routing_decision_t){.tag = EXPORTS_HOLDFAST_POLICY_ROUTING_DECISION_PASS};
    size_t barred = 0;
    while (barred < rules->barred && !(rules->prefix[barred] && begins(facts->called, *rules->prefix[barred]))) barred++;
    if (barred < rules->barred && !exempts(rules, &facts->caller)) {
        refuse(decision, facts->called, rules->reason[barred] ? *rules->reason[barred] : NOTHING);
    } else if (facts->caller.tag == HOLDFAST_POLICY_CALLS_CALLER_TRUNK && rules->night && !is_open(rules, holdfast_policy_clock_now_ms())) {
        ring(decision, *rules->night);
    }
    exports_holdfast_policy_routing_call_facts_free(facts);
}

bool exports_holdfast_policy_configuration_check(exports_holdfast_policy_configuration_list_setting_t *settings,
                                                 exports_holdfast_policy_configuration_list_problem_t *found) {
    struct problems problems = {0};
    read_rules((holdfast_policy_settings_list_setting_t){settings->ptr, settings->len}, &problems);
    *found = (exports_holdfast_policy_configuration_list_problem_t){problems.list, problems.count};
    exports_holdfast_policy_configuration_list_setting_free(settings);
    return problems.count == 0;
}

// The bindings want an object file with the component's type linked in; here the build embeds the type instead.
void __component_type_object_force_link_business_hours(void);
void __component_type_object_force_link_business_hours(void) {}
