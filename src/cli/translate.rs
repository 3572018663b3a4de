//! `plusminus translate`: converts between SGD's settings and the filter.

use super::args::{Common, TranslateArgs};
use super::output::{json, line};
use crate::error::{Error, Result};
use crate::optim::{LatentSgd, Response, Schedule};

/// Prints the filter that is equivalent to SGD's settings, or the SGD settings of a filter.
pub fn run(args: &TranslateArgs, common: &Common) -> Result<()> {
    let (response, sgd) = match (args.alpha, args.gamma) {
        (None, None) => {
            let sgd = args.sgd()?;
            (sgd.response()?, Some(sgd))
        }
        (Some(alpha), gamma) => {
            if args.momentum.is_some() || args.weight_decay.is_some() {
                return Err(Error::setting(
                    "translate",
                    "either a filter (--alpha, --gamma, --lr) or SGD's settings (--lr, --momentum, --weight-decay)",
                    "both",
                ));
            }
            let response = Response::cascade(alpha, gamma.unwrap_or(1.0))?;
            (response, args.lr.map(|rate| response.latent_sgd(rate)).transpose()?)
        }
        (None, Some(_)) => return Err(Error::setting("alpha", "a number in (0, 1], required by --gamma", "none")),
    };
    if args.steps_per_epoch.is_some_and(|steps| !(steps > 0.0 && steps.is_finite())) {
        return Err(Error::setting("steps-per-epoch", "a positive number", args.steps_per_epoch.unwrap_or_default()));
    }
    let course = args.schedule.as_ref().map(|schedule| course(args, schedule)).transpose()?;
    if common.json {
        let mut object = object(&response, sgd, args.steps_per_epoch);
        if let Some(course) = course {
            let at = |(progress, value, response): &(f64, f64, Option<Response>)| {
                let moving = |response: &Response| response.averages().map_or([None; 2], |rates| rates.map(Some));
                let [alpha, gamma] = response.as_ref().map_or([Some(0.0), None], moving);
                let flips = response.as_ref().map_or(0.0, Response::noise_flips);
                serde_json::json!({
                    "progress": progress, "value": value, "alpha": alpha, "gamma": gamma, "flip_ratio_noise": flips, "frozen": response.is_none()
                })
            };
            object["schedule"] = course.iter().map(at).collect();
        }
        json(&object);
        return Ok(());
    }
    print(&response, sgd, args.steps_per_epoch);
    if course.is_some() {
        line(&format!("schedule       over {} steps", args.steps));
    }
    let hyperparameter = if args.alpha.is_some() { "alpha" } else { "lr" };
    for (progress, value, response) in course.into_iter().flatten() {
        let filter = match response.map(|response| (response.averages(), 100.0 * response.noise_flips())) {
            None => "frozen, no weight flips".into(),
            Some((Some([alpha, gamma]), flips)) => {
                format!("alpha {alpha:.3e}, gamma {gamma:.3e}, flips on noise {flips:.4} %")
            }
            Some((None, flips)) => format!("not two moving averages, flips on noise {flips:.4} %"),
        };
        line(&format!("at {:>3.0} %       {hyperparameter} {value:.3e}: {filter}", 100.0 * progress));
    }
    Ok(())
}

/// The filter during a run whose learning rate or alpha follows a schedule: progress as a fraction of the run, the scheduled value, and the filter
/// (`None` where the value is 0 and the weights are frozen). The description is accurate while the value changes slowly compared with the filter's
/// time constants.
fn course(args: &TranslateArgs, schedule: &Schedule) -> Result<Vec<(f64, f64, Option<Response>)>> {
    let at = |progress: f64| {
        let step = ((progress * args.steps as f64) as u64).min(args.steps - 1);
        let start = args.alpha.map_or_else(|| args.sgd().map(|sgd| sgd.rate), Ok)?;
        let value = f64::from(schedule.at(start as f32, step, args.steps));
        let response = match args.alpha {
            _ if value == 0.0 => None,
            Some(_) => Some(Response::cascade(value, args.gamma.unwrap_or(1.0))?),
            None => Some(LatentSgd { rate: value, ..args.sgd()? }.response()?),
        };
        Ok((progress, value, response))
    };
    [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().map(at).collect()
}

impl TranslateArgs {
    fn sgd(&self) -> Result<LatentSgd> {
        let rate = self.lr.ok_or_else(|| Error::setting("lr", "a learning rate, or --alpha and --gamma", "none"))?;
        let momentum = self.momentum.unwrap_or(0.0);
        Ok(LatentSgd { rate, momentum, decay: self.weight_decay.unwrap_or(0.0) })
    }
}

/// Returns the result as JSON; infinite numbers are null.
fn object(response: &Response, sgd: Option<LatentSgd>, steps_per_epoch: Option<f64>) -> serde_json::Value {
    let finite = |value: f64| value.is_finite().then_some(value);
    let averages = response.averages();
    let mut object = serde_json::json!({
        "alpha": averages.map(|r| r[0]),
        "gamma": averages.map(|r| r[1]),
        "flip_ratio_noise": response.noise_flips(),
        "poles": response.poles(),
        "poles_real": response.rates().is_some(),
        "time_constants": response.time_constants().map(finite),
        "corner": response.corner(),
    });
    if let Some(steps) = steps_per_epoch {
        object["time_constants_epochs"] = response.time_constants().map(|t| finite(t / steps)).to_vec().into();
    }
    let [momentum, gain] = response.momentum_and_gain();
    (object["momentum"], object["lr_times_weight_decay"]) = (momentum.into(), gain.into());
    if let Some(LatentSgd { rate, decay, .. }) = sgd {
        (object["lr"], object["weight_decay"]) = (rate.into(), decay.into());
    }
    object
}

fn print(response: &Response, sgd: Option<LatentSgd>, steps_per_epoch: Option<f64>) {
    let [momentum, gain] = response.momentum_and_gain();
    match sgd {
        Some(LatentSgd { rate, momentum, decay }) => {
            line(&format!("latent SGD     lr {rate}, momentum {momentum}, weight decay {decay:.6e}"));
        }
        None => line(&format!(
            "latent SGD     momentum {momentum}, lr * weight decay {gain:.6e}; beyond these only init / lr matters"
        )),
    }
    line(&match response.averages() {
        Some([alpha, gamma]) => format!("filter         alpha {alpha:.6e}, gamma {gamma:.6e}"),
        None if response.rates().is_some() => {
            "filter         a negative pole: the response alternates, not a cascade of two moving averages".to_string()
        }
        None => "filter         complex poles: the response rings, not a cascade of two moving averages".to_string(),
    });
    let poles = response.poles().map(|[re, im]| if im == 0.0 { format!("{re}") } else { format!("{re} {im:+}i") });
    line(&format!("poles          {}", poles.join(", ")));
    let constants = response.time_constants().map(|steps| match steps_per_epoch {
        _ if steps.is_infinite() => "infinite".to_string(),
        Some(epoch) => format!("{steps:.1} steps = {:.3} epochs", steps / epoch),
        None => format!("{steps:.1} steps"),
    });
    line(&format!("time constants {}", constants.join(", ")));
    match response.corner() {
        Some(corner) => {
            line(&format!("corner (-3 dB) {corner:.3e} cycles per step, a period of {:.0} steps", 1.0 / corner))
        }
        None => line("corner (-3 dB) none"),
    }
    line(&format!("on pure noise  {:.4} % of the weights flip per step", 100.0 * response.noise_flips()));
}
