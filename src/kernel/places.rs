// SPDX-License-Identifier: Apache-2.0
//! What is known of the places of a table, by place. Pure.

pub struct Places<T>(Vec<Option<T>>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Places<T> {
    pub fn get(&self, place: u32) -> Option<&T> {
        self.0.get(place as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.0.get_mut(place as usize)?.as_mut()
    }

    pub fn put(&mut self, place: u32, value: T) {
        let place = place as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(value);
    }

    pub fn take(&mut self, place: u32) -> Option<T> {
        self.0.get_mut(place as usize)?.take()
    }

    /// Those of which something is known.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = (0..).zip(&self.0);
        places.filter_map(|(place, it)| Some((place, it.as_ref()?)))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}
