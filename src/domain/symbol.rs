//! Names as small numbers that never change their meaning.
//!
//! Profiles outlive catalogs, so what a profile stores must not depend on the order of a catalog's lists. The table of
//! symbols only ever grows: a new catalog version starts from its predecessor's table, so a number that a profile
//! stored last year still means the same name today, whatever was reordered, added or removed in between. For the same
//! reason it keeps what contacts count by, of offers and channels that have left the catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name's number in the [`Symbols`] table. Only ever compare symbols of the same table or of its descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Symbol(u32);

impl Symbol {
    /// Returns the symbol as a number, for packing.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Makes a symbol from a packed number.
    #[must_use]
    pub const fn from_packed(number: u32) -> Self {
        Self(number)
    }
}

/// How many different values one set attribute may ever have had, over all catalog versions: a set is one 64-bit mask.
pub const SET_VALUES_MAX: usize = 64;

/// The append-only table of names, and of the bit that each value of a set attribute owns.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    set_bits: HashMap<Symbol, Vec<Symbol>>,
    offers: HashMap<Symbol, Arc<OfferTraits>>,
    /// Each channel that there ever was, and whether it is outbound.
    channels: BTreeMap<Symbol, bool>,
}

/// The table as lists, to be kept and read again: the order is that of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolTable {
    names: Vec<String>,
    set_bits: Vec<(Symbol, Vec<Symbol>)>,
    offers: Vec<(Symbol, OfferTraits)>,
    channels: Vec<(Symbol, bool)>,
}

/// What contacts with an offer count by: kept for offers that have left the catalog, as it was last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferTraits {
    /// The offer's group.
    pub group: Symbol,
    /// The offer's labels, its group's included, sorted.
    pub labels: Vec<Symbol>,
    /// Whether contacts with it do not count.
    pub is_uncounted: bool,
}

impl Symbols {
    /// Returns the symbol of `name`, adding it to the table when it is new.
    pub fn intern(&mut self, name: &str) -> Symbol {
        if let Some(&number) = self.numbers.get(name) {
            return Symbol(number);
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let shared: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        Symbol(number)
    }

    /// Returns the symbol of `name` when the table has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Symbol> {
        self.numbers.get(name).copied().map(Symbol)
    }

    /// Returns the name of a symbol, or `"?"` for a number that this table never gave out.
    #[must_use]
    pub fn name(&self, symbol: Symbol) -> &str {
        self.names.get(symbol.0 as usize).map_or("?", |name| name)
    }

    /// Returns the bit (0 to 63) that `value` owns in the masks of the set attribute `attribute`, giving out the next
    /// free one when it is new; `None` when all [`SET_VALUES_MAX`] are taken.
    pub fn set_bit(&mut self, attribute: Symbol, value: Symbol) -> Option<u8> {
        let bits = self.set_bits.entry(attribute).or_default();
        let position = bits.iter().position(|&known| known == value).unwrap_or_else(|| {
            bits.push(value);
            bits.len() - 1
        });
        if position >= SET_VALUES_MAX {
            bits.truncate(SET_VALUES_MAX);
            return None;
        }
        u8::try_from(position).ok()
    }

    /// Returns the values of a set attribute in the order of their bits, bit 0 first.
    #[must_use]
    pub fn set_values(&self, attribute: Symbol) -> &[Symbol] {
        self.set_bits.get(&attribute).map_or(&[], Vec::as_slice)
    }

    /// Notes what contacts with an offer count by; the last word counts.
    pub fn note_offer(&mut self, offer: Symbol, traits: OfferTraits) {
        self.offers.insert(offer, Arc::new(traits));
    }

    /// Returns what contacts with an offer count by, as it was last.
    #[must_use]
    pub fn offer(&self, offer: Symbol) -> Option<&OfferTraits> {
        self.offers.get(&offer).map(Arc::as_ref)
    }

    /// Returns every offer that there ever was, with what it was last, in no particular order.
    pub fn offers(&self) -> impl Iterator<Item = (Symbol, &OfferTraits)> {
        self.offers.iter().map(|(&offer, traits)| (offer, traits.as_ref()))
    }

    /// Notes the direction of a channel; the last word counts.
    pub fn note_channel(&mut self, channel: Symbol, is_outbound: bool) {
        self.channels.insert(channel, is_outbound);
    }

    /// Returns each channel that there ever was, and whether it is outbound, by symbol.
    pub fn channels(&self) -> impl Iterator<Item = (Symbol, bool)> + '_ {
        self.channels
            .iter()
            .map(|(&channel, &is_outbound)| (channel, is_outbound))
    }

    /// Returns the table as lists.
    #[must_use]
    pub fn table(&self) -> SymbolTable {
        let mut table = SymbolTable {
            names: self.names.iter().map(ToString::to_string).collect(),
            set_bits: self
                .set_bits
                .iter()
                .map(|(&symbol, bits)| (symbol, bits.clone()))
                .collect(),
            offers: self.offers().map(|(symbol, traits)| (symbol, traits.clone())).collect(),
            channels: self.channels().collect(),
        };
        table.set_bits.sort_unstable_by_key(|entry| entry.0);
        table.offers.sort_unstable_by_key(|entry| entry.0);
        table
    }

    /// Returns how many names the table has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Tells whether the table has no name yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl From<SymbolTable> for Symbols {
    fn from(table: SymbolTable) -> Self {
        let mut symbols = Self::default();
        for name in &table.names {
            symbols.intern(name);
        }
        symbols.set_bits = table.set_bits.into_iter().collect();
        symbols.offers = table
            .offers
            .into_iter()
            .map(|(symbol, traits)| (symbol, Arc::new(traits)))
            .collect();
        symbols.channels = table.channels.into_iter().collect();
        symbols
    }
}

/// Where symbols stand in a list of the catalog. A table by the symbol's number: every decision looks up every attribute
/// and contact of the customer, and hashing would cost more than all else that is done with them.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// One more than the position, by symbol; 0 for what is not in the list.
    places: Vec<u32>,
}

impl Positions {
    /// Notes where a symbol stands; the last word counts.
    pub fn insert(&mut self, symbol: Symbol, position: usize) {
        let at = symbol.0 as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        self.places[at] = u32::try_from(position + 1).unwrap_or(0);
    }

    /// Returns where a symbol stands, if it is in the list.
    #[must_use]
    pub fn get(&self, symbol: Symbol) -> Option<usize> {
        let place = self.places.get(symbol.0 as usize)?;
        place.checked_sub(1).map(|position| position as usize)
    }
}

impl FromIterator<(Symbol, usize)> for Positions {
    fn from_iter<T: IntoIterator<Item = (Symbol, usize)>>(entries: T) -> Self {
        let mut positions = Self::default();
        for (symbol, position) in entries {
            positions.insert(symbol, position);
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_when_others_are_added() {
        let mut symbols = Symbols::default();
        let fund = symbols.intern("fund");
        let mut newer = symbols.clone();
        newer.intern("savings");
        assert_eq!(newer.intern("fund"), fund);
        assert_eq!(newer.name(fund), "fund");
        assert_eq!(symbols.find("savings"), None);
    }

    #[test]
    fn the_sixty_fifth_value_of_a_set_is_refused_and_changes_nothing() {
        let mut symbols = Symbols::default();
        let holdings = symbols.intern("holdings");
        for number in 0..SET_VALUES_MAX {
            let value = symbols.intern(&format!("value {number}"));
            assert_eq!(symbols.set_bit(holdings, value).map(usize::from), Some(number));
        }
        let extra = symbols.intern("one too many");
        assert_eq!(symbols.set_bit(holdings, extra), None);
        assert_eq!(symbols.set_values(holdings).len(), SET_VALUES_MAX);
    }

    #[test]
    fn what_an_offer_counted_by_and_where_a_channel_led_is_kept_as_it_was_last() {
        let mut symbols = Symbols::default();
        let [offer, savings, fund, web] = ["offer", "savings", "fund", "web"].map(|name| symbols.intern(name));
        let traits = |group, is_uncounted| OfferTraits {
            group,
            labels: Vec::new(),
            is_uncounted,
        };
        symbols.note_offer(offer, traits(savings, false));
        symbols.note_channel(web, true);
        let mut newer = symbols.clone();
        newer.note_offer(offer, traits(fund, true));
        newer.note_channel(web, false);
        assert_eq!(newer.offer(offer), Some(&traits(fund, true)));
        assert_eq!(newer.channels().collect::<Vec<_>>(), [(web, false)]);
        assert_eq!(symbols.offer(offer), Some(&traits(savings, false)));
        assert_eq!(symbols.offer(web), None);
    }

    #[test]
    fn a_table_that_was_written_and_read_gives_the_same_numbers() {
        let mut symbols = Symbols::default();
        let [holdings, fund, web] = ["holdings", "fund", "web"].map(|name| symbols.intern(name));
        assert_eq!(symbols.set_bit(holdings, fund), Some(0));
        symbols.note_channel(web, true);
        let traits = OfferTraits {
            group: fund,
            labels: vec![web],
            is_uncounted: true,
        };
        symbols.note_offer(fund, traits.clone());
        let text = serde_json::to_string(&symbols.table()).unwrap();
        let mut read = Symbols::from(serde_json::from_str::<SymbolTable>(&text).unwrap());
        assert_eq!(read.table(), symbols.table());
        assert_eq!((read.find("web"), read.offer(fund)), (Some(web), Some(&traits)));
        assert_eq!(read.intern("new").get(), 3);
        assert_eq!(read.set_bit(holdings, web), Some(1));
    }

    #[test]
    fn positions_are_found_for_what_is_in_the_list_only() {
        let mut symbols = Symbols::default();
        let [one, two, three, late] = ["one", "two", "three", "late"].map(|name| symbols.intern(name));
        let positions: Positions = [(two, 0), (three, 1)].into_iter().collect();
        assert_eq!(
            [one, two, three, late].map(|symbol| positions.get(symbol)),
            [None, Some(0), Some(1), None]
        );
    }
}
