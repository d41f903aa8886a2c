//! Surveys of instances, each made once for all samples of a run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use swegym_core::InstanceId;
use swegym_harness::Survey;
use swegym_images::Image;
use tokio::sync::OnceCell;

/// Surveys that are kept at most: each is a list of the files of a repository, and the files of its tests.
const MOST: usize = 256;

/// An instance, and the layers or the name of its image.
type Key = (InstanceId, Vec<String>, Option<String>);

/// Where a survey is, once it is made.
pub(crate) type Slot = Arc<OnceCell<Arc<Survey>>>;

/// The surveys of a run.
#[derive(Default)]
pub(crate) struct Surveys {
    most: usize,
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Surveys {
    /// Of a run with so many samples of each instance. One sample has no use for a survey that is kept.
    pub(crate) fn of_samples(samples: u32) -> Self {
        Self { most: if samples > 1 { MOST } else { 0 }, ..Self::default() }
    }

    /// The slot of an instance in an image. Once there are too many, it is forgotten with its user.
    pub(crate) fn slot(&self, instance: &InstanceId, image: &Image) -> Slot {
        let layers = image.layers.iter().map(|layer| layer.id.clone()).collect();
        let key = (instance.clone(), layers, image.reference.clone());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= self.most && !slots.contains_key(&key) {
            return Slot::default();
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> InstanceId {
        InstanceId::new(format!("o__n-{number}")).unwrap()
    }

    #[test]
    fn one_instance_in_one_image_is_surveyed_once() {
        let surveys = Surveys::of_samples(2);
        let image = Image { reference: Some("a".to_owned()), ..Image::default() };
        let other = Image { reference: Some("b".to_owned()), ..Image::default() };
        let first = surveys.slot(&id(0), &image);
        assert!(Arc::ptr_eq(&first, &surveys.slot(&id(0), &image)));
        assert!(!Arc::ptr_eq(&first, &surveys.slot(&id(0), &other)));
        (0..MOST).for_each(|number| drop(surveys.slot(&id(number), &image)));
        assert!(Arc::ptr_eq(&first, &surveys.slot(&id(0), &image)), "what is kept stays");
        let late = id(MOST);
        assert!(!Arc::ptr_eq(&surveys.slot(&late, &image), &surveys.slot(&late, &image)));
    }

    #[test]
    fn what_is_used_once_is_not_kept() {
        let (surveys, image) = (Surveys::of_samples(1), Image::default());
        assert!(!Arc::ptr_eq(&surveys.slot(&id(0), &image), &surveys.slot(&id(0), &image)));
    }
}
