from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.mapping import LeafReader, map_columns
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from support.pipeline import run_pipeline

TEXT = pa.string()


def schema(*names):
    return pa.schema([(name, TEXT) for name in names])


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("thirdPartyId", "thirdPartyId"),
        ("third_party_id", "thirdPartyId"),
        ("mbox3rdPartyId", "thirdPartyId"),
        ("pcId", "pcId"),
        ("pc_id", "pcId"),
        ("mboxPC", "pcId"),
        ("mbox.id", "pcId"),
        ("tntId", "pcId"),
    ],
)
def test_the_id_and_its_type_are_found_by_name(column, key):
    mapping = map_columns(schema("tier", column))
    assert (mapping.id_column, mapping.id_type) == (column, key)
    assert [attribute.name for attribute in mapping.attributes] == ["tier"]


def test_a_named_id_column_is_a_customer_id_by_default():
    assert map_columns(schema("customer", "tier"), id_column="customer").id_type == "thirdPartyId"
    assert map_columns(schema("customer", "tier"), id_column="customer", id_type="pcId").id_type == "pcId"
    assert map_columns(schema("pcId", "tier"), id_type="thirdPartyId").id_type == "thirdPartyId"


NESTED = pa.schema(
    [
        ("thirdPartyId", TEXT),
        ("address", pa.struct([("city", TEXT), ("geo", pa.struct([("lat", pa.float64())]))])),
        ("tier", TEXT),
    ]
)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (None, {"address.city": "address.city", "address.geo.lat": "address.geo.lat", "tier": "tier"}),
        (["tier"], {"tier": "tier"}),
        (["tier", "address"], {"tier": "tier", "address.city": "address.city", "address.geo.lat": "address.geo.lat"}),
        (["address.geo"], {"address.geo.lat": "address.geo.lat"}),
        (
            {"address": "home", "tier": "level"},
            {"address.city": "home.city", "address.geo.lat": "home.geo.lat", "tier": "level"},
        ),
        ({"address.city": "city"}, {"address.city": "city"}),
        ({"thirdPartyId": "crm_id"}, {"thirdPartyId": "crm_id"}),
    ],
    ids=[
        "all",
        "one",
        "whole struct, order as asked",
        "nested struct",
        "struct renamed",
        "field renamed",
        "the id as attribute",
    ],
)
def test_attributes_are_chosen_renamed_and_flattened(attributes, expected):
    mapping = map_columns(NESTED, attributes=attributes)
    assert {attribute.column: attribute.name for attribute in mapping.attributes} == expected
    assert list(expected.values()) == [attribute.name for attribute in mapping.attributes]


def test_only_the_columns_that_are_sent_are_needed():
    assert map_columns(NESTED, attributes=["address.city"]).columns == ["thirdPartyId", "address"]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["customer", "tier"], {}, "No id column was found.*'customer', 'tier'.*id_column"),
        (["pcId", "thirdPartyId", "tier"], {}, "'pcId', 'thirdPartyId' could each be the id.*id_column"),
        (["customer", "tier"], {"id_column": "client"}, "no column 'client' for id_column.*'customer', 'tier'"),
        (["thirdPartyId"], {}, "no attribute column"),
        (["thirdPartyId", "tier"], {"attributes": []}, "no attribute column"),
        (["thirdPartyId", "tier"], {"attributes": ["rank"]}, "no column 'rank' for attributes.*'tier'"),
        (["thirdPartyId", "tier"], {"attributes": ["tier", "tier"]}, "twice in attributes"),
        (["thirdPartyId", "profile.tier"], {}, "'profile.tier'.*Adobe Target adds 'profile.' itself.*attributes="),
        (["thirdPartyId", "browserTime"], {}, "'browserTime'.*built into"),
        (["thirdPartyId", "averageDaysBetweenVisits"], {}, "built into"),
        (["thirdPartyId", "sessionCount"], {}, "built into"),
        (["thirdPartyId", "firstSessionStart"], {}, "built into"),
        (["thirdPartyId", "mobile.deviceModel"], {}, "built into"),
        (["thirdPartyId", "geolocation.city"], {}, "built into"),
        (["thirdPartyId", "geolocation"], {}, "built into"),
        (["thirdPartyId", "parameter"], {}, "built into"),
        (["thirdPartyId", "user"], {}, "built into"),
        (["thirdPartyId", "user.level"], {}, "built into"),
        (["thirdPartyId", "crs.loyalty"], {}, "built into"),
        (["thirdPartyId", "entity.id"], {}, "built into"),
        (["thirdPartyId", "tier"], {"attributes": {"tier": "entity.id"}}, "'tier' cannot be the attribute 'entity.id'"),
        (["thirdPartyId", "2nd"], {}, "'2nd'.*a letter or underscore"),
        (["thirdPartyId", "a b"], {}, "a letter or underscore"),
        (["thirdPartyId", "größe"], {}, "a letter or underscore"),
        (["thirdPartyId", "a,b"], {}, "a letter or underscore"),
        (["thirdPartyId", "a\n"], {}, "a letter or underscore"),
        (["thirdPartyId", ""], {}, "a letter or underscore"),
        (["thirdPartyId", "x" * 129], {}, "at most 127"),
        (["customer", "thirdPartyId"], {"id_column": "customer", "attributes": ["thirdPartyId"]}, "the name of the id"),
        (["thirdPartyId", "a", "b"], {"attributes": {"a": "x", "b": "x"}}, "'x' is used twice, by.*'a', 'b'"),
    ],
)  # fmt: skip
def test_invalid_columns_are_refused_with_the_remedy(columns, options, message):
    with pytest.raises(ProfileDataError, match=message):
        map_columns(schema(*columns), **options)


@pytest.mark.parametrize(
    "name", ["_", "x" * 128, "address.city", "a-b", "Tier9", "users", "mobiles", "entity", "param_x"]
)
def test_names_that_adobe_target_accepts_pass(name):
    assert map_columns(schema("thirdPartyId", name)).attributes[0].name == name


def test_a_nested_field_and_a_dotted_column_of_one_name_clash():
    both = NESTED.append(pa.field("address.city", TEXT))
    with pytest.raises(ProfileDataError, match=r"'address\.city' is used twice"):
        map_columns(both)


def test_a_nested_name_may_appear_in_later_rows():
    mapping = map_columns(schema("thirdPartyId", "meta"), attributes=["meta.rank"], complete=False)
    assert mapping.columns == ["thirdPartyId", "meta"]
    with pytest.raises(ProfileDataError, match="no column 'meta.rank'"):
        map_columns(schema("thirdPartyId", "meta"), attributes=["meta.rank"])


def test_a_leaf_of_a_null_struct_is_null():
    batch = pa.record_batch({"thirdPartyId": ["a", "b", "c"], "address": [{"city": "Ulm"}, None, {"city": None}]})
    [city] = map_columns(batch.schema).attributes
    assert LeafReader(batch).read(city).to_pylist() == ["Ulm", None, None]
    assert LeafReader(batch.select(["thirdPartyId"])).read(city).to_pylist() == [None, None, None]


@pytest.mark.parametrize("column", ["THIRD_PARTY_ID", "ThirdPartyId", "THIRDPARTYID", "PC_ID", "Mboxpc", "TNTID"])
def test_an_id_column_is_found_in_any_letter_case(column):
    mapping = map_columns(schema(column, "TIER"))
    assert mapping.id_column == column
    assert mapping.id_type == ("thirdPartyId" if "third" in column.lower() else "pcId")
    assert map_columns(schema(column, "TIER"), id_column=column.lower()).id_column == column


def test_two_id_columns_that_differ_by_case_need_an_exact_match():
    both = schema("Customer", "CUSTOMER", "tier")
    assert map_columns(both, id_column="CUSTOMER").id_column == "CUSTOMER"
    with pytest.raises(ProfileDataError, match="no column 'customer' for id_column"):
        map_columns(both, id_column="customer")


@pytest.mark.parametrize("further", ["pc_id", "PCID", "tntId", "mbox3rdPartyId"])
def test_a_second_id_column_is_refused_unless_in_attributes(further):
    columns = schema("third_party_id", further, "tier")
    with pytest.raises(ProfileDataError, match=f"'{further}' besides the id 'third_party_id'.*attributes"):
        map_columns(columns, id_column="third_party_id")
    asked = map_columns(columns, id_column="third_party_id", attributes={further: "other", "tier": "tier"})
    assert [attribute.name for attribute in asked.attributes] == ["other", "tier"]
    assert len(map_columns(columns, id_column="third_party_id", attributes=["tier"]).attributes) == 1


def test_attribute_names_from_columns_are_lowered():
    columns = pa.schema(
        [("THIRD_PARTY_ID", pa.string()), ("TIER", pa.string()), ("Home", pa.struct([("CITY", pa.string())]))]
    )

    def names(**options):
        return [attribute.name for attribute in map_columns(columns, **options).attributes]

    assert names() == ["TIER", "Home.CITY"]
    assert names(attribute_case="lower") == ["tier", "home.city"]
    assert names(attribute_case="lower", attributes=["TIER"]) == ["tier"]
    assert names(attribute_case="lower", attributes={"TIER": "Tier"}) == ["Tier"]
    with pytest.raises(ProfileDataError, match="'tier' is used twice"):
        map_columns(schema("thirdPartyId", "tier", "TIER"), attribute_case="lower")


@pytest.mark.parametrize("index", [pd.Index(["U1"], name="customer_id"), pd.Index(["U1"])])
def test_a_pandas_index_is_named_where_the_id_is_missing(index):
    rows = read_data(pd.DataFrame({"tier": ["gold"]}, index=index))
    for options in ({}, {"id_column": "customer_id"}):
        with pytest.raises(ProfileDataError, match=r"index.*reset_index\(\)"):
            map_columns(rows.schema, **options)


NO_TEXT = [
    pd.array([b"x"], dtype=object),
    pd.array(["2026-01"], dtype="period[M]"),
    pd.array([timedelta(1)]),
    pd.arrays.IntervalArray.from_tuples([(0, 1)]),
    pd.array([1j]),
    pd.array([pd.Period("2026-01"), None], dtype=object)[:1],
]


@pytest.mark.parametrize("values", NO_TEXT, ids=str)
def test_a_column_without_text_form_is_refused_unless_excluded(values):
    frame = pd.DataFrame({"thirdPartyId": ["U1"], "tier": ["gold"], "v": values})
    for data in (frame, frame.to_dict("records")):
        with pytest.raises(ProfileDataError, match="Column 'v' is of type .*no text form"):
            map_columns(read_data(data).schema)
        assert run_pipeline(data, attributes=["tier"]).lines == ["U1,gold"]


def test_only_requested_columns_need_text_names():
    frame = pd.DataFrame([["U1", "gold", 1]], columns=["thirdPartyId", "tier", 0])
    for data in (frame, frame.to_dict("records")):
        assert run_pipeline(data, attributes=["tier"]).lines == ["U1,gold"]
        with pytest.raises(ProfileDataError, match="Column 'int 0' cannot be the attribute"):
            run_pipeline(data)
