//! Changes the generated bindings; see the test above.

use syn::{
    Attribute, Block, Expr, File, FnArg, Ident, ImplItem, Item, Pat, Signature, Stmt, parse_quote,
    visit_mut::{self, VisitMut},
};

/// Hook, its trait as the SDK names it, and how its function begins.
const HOOKS: [(&str, &str, &str); 5] = [
    ("registration", "RegistrationPolicy", "fn admit(facts: RegistrationFacts, registration: &Registration) -> Admission"),
    ("routing", "RoutingPolicy", "fn route(facts: CallFacts, call: &Call) -> Decision"),
    ("emergency", "EmergencyPolicy", "fn route(facts: CallFacts, call: &Call) -> EmergencyPlan"),
    ("observation", "ObservationPolicy", "fn ended(call: CallRecord)"),
    ("configuration", "ConfigurationPolicy", "fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>>"),
];

/// The bindings with the harness behind every one of the host's `functions`.
pub(crate) fn with_native_arms(bindings: &str, functions: usize) -> String {
    let mut file: File = syn::parse_str(bindings).unwrap();
    let mut arms = Arms { path: Vec::new(), functions: 0 };
    arms.visit_file_mut(&mut file);
    assert_eq!(arms.functions, functions, "functions of the host that were found: does wit-bindgen write them in another way now?");
    let header: String = bindings.lines().take_while(|line| line.starts_with("//")).map(|line| format!("{line}\n")).collect();
    format!("{header}// Changed by tests/bindings/native.rs.\n{}", prettyplease::unparse(&file))
}

struct Arms {
    /// The modules around what is looked at.
    path: Vec<String>,
    /// Functions of the host found so far.
    functions: usize,
}

impl Arms {
    /// The imported interface that is looked at.
    fn interface(&self) -> Option<Ident> {
        match self.path.as_slice() {
            [first, second, interface] if first == "holdfast" && second == "policy" => Some(syn::parse_str(interface).unwrap()),
            _ => None,
        }
    }

    /// Answers by the harness on any other target.
    fn give_arm(&mut self, signature: &Signature, body: &mut Block) {
        let Some(interface) = self.interface() else { return };
        let [Stmt::Expr(Expr::Unsafe(host), None)] = body.stmts.as_mut_slice() else { return };
        // What the generator puts there for other targets: it ends the process.
        host.block.stmts.retain(|stmt| !matches!(stmt, Stmt::Item(Item::Fn(item)) if item.attrs.iter().any(is_native)));
        let name = &signature.ident;
        let arguments = signature.inputs.iter().map(|input| -> Expr {
            match input {
                FnArg::Receiver(_) => parse_quote!(self),
                FnArg::Typed(typed) => {
                    let Pat::Ident(argument) = &*typed.pat else { panic!("{:?}", typed.pat) };
                    let name = &argument.ident;
                    parse_quote!(#name)
                }
            }
        });
        let host = &*host;
        *body = parse_quote!({
            #[cfg(not(target_arch = "wasm32"))]
            return crate::testing::host::#interface::#name(#(#arguments),*);
            #[cfg(target_arch = "wasm32")]
            return #host;
        });
        self.functions += 1;
    }
}

impl VisitMut for Arms {
    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        self.path.push(module.ident.to_string());
        visit_mut::visit_item_mod_mut(self, module);
        self.path.pop();
    }

    fn visit_item_fn_mut(&mut self, item: &mut syn::ItemFn) {
        self.give_arm(&item.sig, &mut item.block);
    }

    fn visit_item_impl_mut(&mut self, item: &mut syn::ItemImpl) {
        let resource = item.trait_.as_ref().is_some_and(|(path, _)| path.segments.last().is_some_and(|s| s.ident == "WasmResource"));
        for member in &mut item.items {
            let ImplItem::Fn(function) = member else { continue };
            if resource && self.interface().is_some() {
                // A handle of the harness owns nothing.
                let body = &function.block;
                function.block = parse_quote!({
                    #[cfg(target_arch = "wasm32")]
                    #body
                });
            } else {
                self.give_arm(&function.sig, &mut function.block);
            }
        }
    }

    fn visit_item_trait_mut(&mut self, item: &mut syn::ItemTrait) {
        let Some((hook, name, function)) = HOOKS.iter().find(|(hook, ..)| self.path.last().is_some_and(|last| last == hook)) else {
            return;
        };
        if item.ident != "Guest" {
            return;
        }
        let message = format!("`{{Self}}` does not have the hook `{hook}`: it does not implement `{name}`");
        let label = format!("exported with the hook `{hook}`");
        // Braces twice: once for `format!`, once for the attribute.
        let note = format!("write `impl {name} for {{Self}} {{{{ {function} {{{{ … }}}} }}}}`, or take `{hook}` out of `export!`");
        item.attrs.push(parse_quote!(#[diagnostic::on_unimplemented(message = #message, label = #label, note = #note)]));
    }
}

/// `#[cfg(not(target_arch = "wasm32"))]`
fn is_native(attribute: &Attribute) -> bool {
    *attribute == parse_quote!(#[cfg(not(target_arch = "wasm32"))])
}
