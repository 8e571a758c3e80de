//! What a cluster's addresses are addresses of: the network in memory, or loopback TCP.

use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_core::endpoints::view::Address;

use crate::network::{Door, Network};
use crate::tcp::{Loopback, PortError};

/// The port of every broker in memory.
pub(super) const PORT: u16 = 9092;

/// How many hosts a subnet of the network in memory has.
const SUBNET: u8 = 250;

#[derive(Debug)]
pub(crate) enum Medium {
    Memory(Network, Mutex<Subnet>),
    Tcp(Loopback),
}

/// Addresses in memory: `10.0.0.1` and so on, each move in a subnet of its own.
#[derive(Debug, Default)]
pub(crate) struct Subnet {
    number: u16,
    hosts: u8,
}

impl Subnet {
    fn begin(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.hosts = 0;
    }

    fn next(&mut self) -> Address {
        if self.hosts == SUBNET {
            self.begin();
        }
        self.hosts += 1;
        let [high, low] = self.number.to_be_bytes();
        Address::new(format!("10.{high}.{low}.{}", self.hosts), PORT)
    }
}

impl Medium {
    pub(crate) fn memory() -> Medium {
        Medium::Memory(Network::default(), Mutex::default())
    }

    /// Addresses from now on are in another subnet.
    pub(crate) fn begin_subnet(&self) {
        if let Medium::Memory(_, subnet) = self {
            locked(subnet).begin();
        }
    }

    /// A new address for this door.
    pub(crate) fn open(&self, door: Door) -> Result<Address, PortError> {
        match self {
            Medium::Memory(network, subnet) => {
                let address = locked(subnet).next();
                network.lead(&address, door);
                Ok(address)
            }
            Medium::Tcp(ports) => ports.open(door),
        }
    }

    /// Another door for this address.
    pub(crate) fn lead(&self, address: &Address, door: Door) -> Result<(), PortError> {
        match self {
            Medium::Memory(network, _) => {
                network.lead(address, door);
                Ok(())
            }
            Medium::Tcp(ports) => ports.lead(address, door),
        }
    }

    /// Where this address leads; nowhere, when it was never opened.
    pub(crate) fn door(&self, address: &Address) -> Door {
        match self {
            Medium::Memory(network, _) => network.door(address),
            Medium::Tcp(ports) => ports.door(address),
        }
    }
}

fn locked(subnet: &Mutex<Subnet>) -> MutexGuard<'_, Subnet> {
    subnet.lock().unwrap_or_else(PoisonError::into_inner)
}
