/// Setters for the fields of a configuration that may get more of them: `FitConfig::default().draws(1000).seed(7)`.
#[doc(hidden)]
#[macro_export]
macro_rules! setters {
    ($config:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $config {
            $(
                #[doc = concat!("This, with [`", stringify!($field), "`](Self#structfield.", stringify!($field), ") set.")]
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}
