module wit_component

go 1.25

require (
    go.bytecodealliance.org/pkg v0.4.0
)

// The runtime of the generated code, as wit-bindgen 0.63 brings it, so that nothing has to be fetched.
replace go.bytecodealliance.org/pkg => ./pkg
