//! Growth of children under five: z-scores by the WHO Child Growth Standards (2006, 2007), by the LMS method.
//!
//! `z = ((y / M)^L - 1) / (L * S)`, and `ln(y / M) / S` where L is 0. Weight and body mass index beyond three standard deviations are counted as
//! the WHO has it, by the distance between the second and the third (Methods and development, 2006, chapter 7).

use std::sync::LazyLock;

use rust_decimal::{Decimal, MathematicalOps};
use serde::Serialize;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Weight for age, in kg.
    Weight,
    /// Length, from two years on height, for age, in cm.
    Length,
    /// Circumference of the head for age, in cm.
    Head,
    /// Body mass index for age, in kg/m2.
    Bmi,
}

impl Measure {
    const ALL: [(Measure, &'static str); 4] = [(Measure::Weight, "weight"), (Measure::Length, "length"), (Measure::Head, "head"), (Measure::Bmi, "bmi")];

    /// Whether what is far out is counted by the distance of the outer bands: the curves are skew.
    fn is_skew(self) -> bool {
        matches!(self, Measure::Weight | Measure::Bmi)
    }
}

/// Whose curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Curve {
    /// Of girls.
    Girls,
    /// Of boys.
    Boys,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    days: i64,
    l: Decimal,
    m: Decimal,
    s: Decimal,
}

/// Curves, each with its points in the order of their days.
type Curves = Vec<((Measure, Curve), Vec<Point>)>;

static CURVES: LazyLock<Curves> = LazyLock::new(|| {
    let mut curves = Curves::new();
    for line in include_str!("growth.csv").lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split(',');
        let (measure, sex) = (parts.next(), parts.next());
        let mut number = || parts.next().and_then(|text| text.parse::<Decimal>().ok());
        let (Some(days), Some(l), Some(m), Some(s)) = (number(), number(), number(), number()) else { continue };
        let Some((measure, _)) = Measure::ALL.into_iter().find(|(_, word)| Some(*word) == measure) else { continue };
        let curve = if sex == Some("female") { Curve::Girls } else { Curve::Boys };
        let point = Point { days: days.try_into().unwrap_or_default(), l, m, s };
        match curves.last_mut().filter(|(of, _)| *of == (measure, curve)) {
            Some((_, points)) => points.push(point),
            None => curves.push(((measure, curve), vec![point])),
        }
    }
    curves
});

fn at(measure: Measure, curve: Curve, days: i64) -> Option<Point> {
    let (_, points) = CURVES.iter().find(|(of, _)| *of == (measure, curve))?;
    let after = points.iter().position(|point| point.days >= days)?;
    let (to, from) = (points[after], points[after.saturating_sub(1)]);
    if to.days == days || from.days >= to.days {
        return (to.days == days).then_some(to);
    }
    let share = Decimal::from(days - from.days) / Decimal::from(to.days - from.days);
    let between = |from: Decimal, to: Decimal| from + (to - from) * share;
    Some(Point { days, l: between(from.l, to.l), m: between(from.m, to.m), s: between(from.s, to.s) })
}

impl Point {
    fn z(&self, value: Decimal) -> Option<Decimal> {
        let ratio = value.checked_div(self.m)?;
        match self.l.abs() < Decimal::new(1, 4) {
            true => ratio.checked_ln()?.checked_div(self.s),
            false => (ratio.checked_powd(self.l)? - Decimal::ONE).checked_div(self.l * self.s),
        }
    }

    /// The value at a number of standard deviations.
    fn value(&self, z: Decimal) -> Option<Decimal> {
        match self.l.abs() < Decimal::new(1, 4) {
            true => self.m.checked_mul((self.s * z).checked_exp()?),
            false => self.m.checked_mul((Decimal::ONE + self.l * self.s * z).checked_powd(Decimal::ONE.checked_div(self.l)?)?),
        }
    }

    /// Beyond the third standard deviation each further one is as wide as the step from the second to the third.
    fn z_far_out(&self, value: Decimal, z: Decimal) -> Option<Decimal> {
        let side = if z.is_sign_negative() { -Decimal::ONE } else { Decimal::ONE };
        let (second, third) = (self.value(side * Decimal::TWO)?, self.value(side * Decimal::from(3))?);
        let step = (third - second).abs();
        Some(side * (Decimal::from(3) + ((value - third).abs()).checked_div(step)?))
    }
}

/// The z-score of a value, to two places; none where there is no curve for that age, or the value cannot be.
pub fn z_score(measure: Measure, curve: Curve, days: i64, value: Decimal) -> Option<Decimal> {
    if value <= Decimal::ZERO {
        return None;
    }
    let point = at(measure, curve, days)?;
    let z = point.z(value)?;
    let z = if measure.is_skew() && z.abs() > Decimal::from(3) { point.z_far_out(value, z)? } else { z };
    Some(z.round_dp(2))
}

/// What a z-score means to whoever looks (WHO, training course on child growth assessment, 2008); none within what is usual.
pub fn meaning(measure: Measure, z: Decimal) -> Option<&'static str> {
    let is_below = |limit: i64| z < Decimal::from(limit);
    let is_above = |limit: i64| z > Decimal::from(limit);
    match measure {
        Measure::Weight if is_below(-3) => Some("severely underweight"),
        Measure::Weight if is_below(-2) => Some("underweight"),
        Measure::Length if is_below(-3) => Some("severely stunted"),
        Measure::Length if is_below(-2) => Some("stunted"),
        Measure::Bmi if is_below(-3) => Some("severely wasted"),
        Measure::Bmi if is_below(-2) => Some("wasted"),
        Measure::Bmi if is_above(3) => Some("obese"),
        Measure::Bmi if is_above(2) => Some("overweight"),
        Measure::Head if is_below(-2) => Some("small head"),
        Measure::Head if is_above(2) => Some("large head"),
        Measure::Weight | Measure::Length | Measure::Head | Measure::Bmi => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(measure: Measure, curve: Curve, days: i64, value: &str) -> String {
        z_score(measure, curve, days, value.parse().unwrap()).map_or_else(|| "none".to_owned(), |z| z.normalize().to_string())
    }

    #[test]
    fn z_scores_are_those_of_the_published_tables() {
        // The WHO's simplified field tables: the median and the second and third deviations at 12 months (day 365) and at birth.
        assert_eq!(z(Measure::Weight, Curve::Girls, 0, "3.2322"), "0");
        assert_eq!(z(Measure::Length, Curve::Boys, 0, "49.8842"), "0");
        for (value, near) in [("6.9", -2), ("7.7", -1), ("9.6", 0), ("10.8", 1), ("12", 2), ("13.3", 3)] {
            let found: Decimal = z(Measure::Weight, Curve::Boys, 365, value).parse().unwrap();
            let expected = if value == "6.9" {
                Decimal::from(-3)
            } else if value == "7.7" {
                Decimal::from(-2)
            } else {
                Decimal::from(near)
            };
            assert!((found - expected).abs() < Decimal::new(7, 2), "{value}: {found}");
        }
        for (value, near) in [("66.3", -3), ("68.9", -2), ("74", 0), ("79.2", 2), ("81.7", 3)] {
            let found: Decimal = z(Measure::Length, Curve::Girls, 365, value).parse().unwrap();
            assert!((found - Decimal::from(near)).abs() < Decimal::new(5, 2), "{value}: {found}");
        }
        assert_eq!(z(Measure::Weight, Curve::Boys, 1_857, "18"), "none", "the curves end with the fifth birthday");
        assert_eq!(z(Measure::Weight, Curve::Boys, -1, "3"), "none");
        assert_eq!(z(Measure::Weight, Curve::Boys, 30, "0"), "none");
    }

    #[test]
    fn every_day_has_a_point_and_what_is_far_out_goes_on_evenly() {
        for (measure, _) in Measure::ALL {
            for curve in [Curve::Girls, Curve::Boys] {
                assert!((0..=1_856).all(|days| at(measure, curve, days).is_some()), "{measure:?} {curve:?}");
                let median = at(measure, curve, 700).unwrap().m;
                assert_eq!(z_score(measure, curve, 700, median), Some(Decimal::ZERO));
            }
        }
        let mut before = Decimal::from(-20);
        for tenths in 20..300 {
            let found = z_score(Measure::Weight, Curve::Girls, 400, Decimal::new(tenths, 1)).unwrap();
            assert!(found > before, "heavier is never less: {tenths} {found} {before}");
            before = found;
        }
    }

    #[test]
    fn whoever_looks_is_told_what_it_means() {
        let said = |measure, z: &str| meaning(measure, z.parse().unwrap());
        assert_eq!(said(Measure::Weight, "-3.01"), Some("severely underweight"));
        assert_eq!(said(Measure::Weight, "-2.01"), Some("underweight"));
        assert_eq!((said(Measure::Length, "-2"), said(Measure::Length, "-2.5"), said(Measure::Length, "-3.5")), (None, Some("stunted"), Some("severely stunted")));
        assert_eq!((said(Measure::Bmi, "2.5"), said(Measure::Bmi, "3.1"), said(Measure::Bmi, "-2.1")), (Some("overweight"), Some("obese"), Some("wasted")));
        assert_eq!((said(Measure::Head, "2.1"), said(Measure::Head, "-2.1"), said(Measure::Head, "0")), (Some("large head"), Some("small head"), None));
    }
}
