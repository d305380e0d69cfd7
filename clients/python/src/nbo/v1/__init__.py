"""The messages of the contract, as `proto/nbo/v1` describes them. They are made when the package is built."""

from nbo.v1.behaviour_pb2 import *
from nbo.v1.campaigns_pb2 import *
from nbo.v1.catalog_pb2 import *
from nbo.v1.common_pb2 import *
from nbo.v1.contacts_pb2 import *
from nbo.v1.decisions_pb2 import *
from nbo.v1.event_pb2 import *
from nbo.v1.operations_pb2 import *
from nbo.v1.profiles_pb2 import *
