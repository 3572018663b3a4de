//! The macro behind the table of settings.

/// Declares the settings: [`Settings`](super::table::Settings) with an optional field per row, the resolved
/// [`TrainConfig`](super::table::TrainConfig), and the rows as data.
///
/// A row is `name: Type; setting;` with its documentation. After the type, `= default` (from the other settings) says that the setting
/// always has a value, `=> default` that it may have one. Rows of `folded` have no field in the configuration: resolving puts them into
/// the table of the optimizer.
macro_rules! settings {
    (
        resolved { $($heading:literal { $(
            $(#[doc = $doc:literal])+ $name:ident: $ty:ty $(= $default:expr)? $(=> $fallback:expr)?; $setting:expr;
        )* })* }
        folded { $($other_heading:literal { $(
            $(#[doc = $other_doc:literal])+ $other:ident: $other_ty:ty; $other_setting:expr;
        )* })* }
    ) => {
        /// What a user may set, as flags or in a file with the same names. What is absent takes its default. [`Settings::table`] lists names,
        /// ranges and defaults.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct Settings {
            $($($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$ty>,)*)*
            $($($(#[doc = $other_doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $other: Option<$other_ty>,)*)*
        }

        /// Everything that decides a run: settings with their defaults, checked. Saved as `config.toml`, which is a settings file.
        #[derive(Clone, Debug, PartialEq)]
        pub struct TrainConfig {
            $($($(#[doc = $doc])+ pub $name: resolved_type!($ty $(= $default)? $(=> $fallback)?),)*)*
        }

        /// Every setting, in the order of the help.
        pub(super) static TABLE: LazyLock<Vec<Setting>> = LazyLock::new(|| {
            vec![
                $($(row(
                    stringify!($name), &[$($doc),+], $heading, <$ty as Value>::form(),
                    shown_default!($ty $(= $default)? $(=> $fallback)?), $setting,
                ),)*)*
                $($(row(
                    stringify!($other), &[$($other_doc),+], $other_heading, <$other_ty as Value>::form(), None, $other_setting,
                ),)*)*
            ]
        });

        impl Settings {
            /// The value of a field, if it is set.
            pub(super) fn value(&self, field: &str) -> Option<&dyn Value> {
                match field {
                    $($(stringify!($name) => self.$name.as_ref().map(|value| value as &dyn Value),)*)*
                    $($(stringify!($other) => self.$other.as_ref().map(|value| value as &dyn Value),)*)*
                    _ => None,
                }
            }

            /// The one field set, from a flag's text; `None` where there is no such field.
            pub(super) fn from_text(field: &str, text: &str) -> Option<Result<Self>> {
                match field {
                    $($(stringify!($name) => {
                        Some(Value::parse(text).map(|value| Self { $name: Some(value), ..Self::default() }))
                    })*)*
                    $($(stringify!($other) => {
                        Some(Value::parse(text).map(|value| Self { $other: Some(value), ..Self::default() }))
                    })*)*
                    _ => None,
                }
            }

            /// Sets what is set in `later`; values of repeated flags are added.
            pub fn add(&mut self, later: Self) {
                fn add<T: Value>(field: &mut Option<T>, later: Option<T>) {
                    match (field, later) {
                        (Some(field), Some(later)) => field.add(later),
                        (field, Some(later)) => *field = Some(later),
                        (_, None) => {}
                    }
                }
                $($(add(&mut self.$name, later.$name);)*)*
                $($(add(&mut self.$other, later.$other);)*)*
            }

            /// What is set here, else what is set in `other`, where `stays` says of a field that it may be taken from there.
            pub(super) fn or(self, other: Self, stays: impl Fn(&str) -> bool) -> Self {
                Self {
                    $($($name: self.$name.or(other.$name.filter(|_| stays(stringify!($name)))),)*)*
                    $($($other: self.$other.or(other.$other.filter(|_| stays(stringify!($other)))),)*)*
                }
            }

            /// With defaults in the place of what is not set, without checks and without the folded settings.
            pub(crate) fn filled(&self) -> TrainConfig {
                TrainConfig { $($($name: resolved_value!(self, $name, $ty $(= $default)? $(=> $fallback)?),)*)* }
            }
        }

        impl TrainConfig {
            /// The settings that resolve to this configuration.
            pub fn settings(&self) -> Settings {
                Settings {
                    $($($name: setting_value!(self, $name $(= $default)?),)*)*
                    $($($other: None,)*)*
                }
            }
        }
    };
}

/// Type of a row's field in the resolved configuration.
macro_rules! resolved_type {
    ($ty:ty = $default:expr) => { $ty };
    ($ty:ty $(=> $fallback:expr)?) => { Option<$ty> };
}

/// Its value.
macro_rules! resolved_value {
    ($settings:ident, $name:ident, $ty:ty = $default:expr) => {{
        let default: fn(&Settings) -> $ty = $default;
        $settings.$name.clone().unwrap_or_else(|| default($settings))
    }};
    ($settings:ident, $name:ident, $ty:ty => $fallback:expr) => {{
        let fallback: fn(&Settings) -> Option<$ty> = $fallback;
        $settings.$name.clone().or_else(|| fallback($settings))
    }};
    ($settings:ident, $name:ident, $ty:ty) => {
        $settings.$name.clone()
    };
}

/// The setting again.
macro_rules! setting_value {
    ($config:ident, $name:ident = $default:expr) => {
        Some($config.$name.clone())
    };
    ($config:ident, $name:ident) => {
        $config.$name.clone()
    };
}

/// The default that holds where nothing else is set.
macro_rules! shown_default {
    ($ty:ty = $default:expr) => {{
        let default: fn(&Settings) -> $ty = $default;
        Some(default(&Settings::default()).text())
    }};
    ($ty:ty $(=> $fallback:expr)?) => {
        None
    };
}

pub(super) use {resolved_type, resolved_value, setting_value, settings, shown_default};
