"""The PointPillars of DAIR-V2X's late fusion (mmdet3d 0.17.1, the same on both sides) for mmdet3d of today.

What differs from mmdet3d's own for KITTI is the range, and the anchors: sizes are width, length, height, as
before 1.0, and they are spread from edge to edge. Directions were learned from 0 on. What 0.17 decodes from
them points backwards, which its evaluation turned round again; with a limit of 0 they point ahead.
"""

_base_ = "mmdet3d::_base_/models/pointpillars_hv_secfpn_kitti.py"

class_names = ["Pedestrian", "Cyclist", "Car"]
point_cloud_range = [0, -39.68, -3, 92.16, 39.68, 1]
feet_m = [-0.6, -0.6, -1.78]
model = {
    "data_preprocessor": {"voxel_layer": {"point_cloud_range": point_cloud_range}},
    "voxel_encoder": {"point_cloud_range": point_cloud_range},
    "middle_encoder": {"output_shape": [496, 576]},
    "bbox_head": {
        "assign_per_class": False,
        "dir_offset": 0,
        "dir_limit_offset": 0,
        "anchor_generator": {
            "_delete_": True,
            "type": "Anchor3DRangeGenerator",
            "ranges": [[0, -39.68, foot, 92.16, 39.68, foot] for foot in feet_m],
            "sizes": [[0.6, 0.8, 1.73], [0.6, 1.76, 1.73], [1.6, 3.9, 1.56]],
            "rotations": [0, 1.57],
            "reshape_out": False,
        },
    },
}
test_dataloader = {
    "dataset": {
        "type": "KittiDataset",
        "data_root": ".",
        "ann_file": "",
        "pipeline": [
            {"type": "LoadPointsFromFile", "coord_type": "LIDAR", "load_dim": 4, "use_dim": 4},
            {"type": "PointsRangeFilter", "point_cloud_range": point_cloud_range},
            {"type": "Pack3DDetInputs", "keys": ["points"]},
        ],
        "metainfo": {"classes": class_names},
        "box_type_3d": "LiDAR",
        "modality": {"use_lidar": True, "use_camera": False},
        "test_mode": True,
    }
}
