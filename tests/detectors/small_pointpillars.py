"""A configuration of mmdet3d: PointPillars of a few channels on 25.6 × 12.8 m."""

point_cloud_range = [-12.8, -6.4, -3, 12.8, 6.4, 1]
voxel_size = [0.4, 0.4, 4]
class_names = ["Pedestrian", "Car"]
metainfo = {"classes": class_names}
point_loader = {"type": "LoadPointsFromFile", "coord_type": "LIDAR", "load_dim": 4, "use_dim": 4}
model = {
    "type": "VoxelNet",
    "data_preprocessor": {
        "type": "Det3DDataPreprocessor",
        "voxel": True,
        "voxel_layer": {
            "max_num_points": 16,
            "point_cloud_range": point_cloud_range,
            "voxel_size": voxel_size,
            "max_voxels": (2000, 2000),
        },
    },
    "voxel_encoder": {
        "type": "PillarFeatureNet",
        "in_channels": 4,
        "feat_channels": [16],
        "with_distance": False,
        "voxel_size": voxel_size,
        "point_cloud_range": point_cloud_range,
    },
    "middle_encoder": {"type": "PointPillarsScatter", "in_channels": 16, "output_shape": [32, 64]},
    "backbone": {
        "type": "SECOND",
        "in_channels": 16,
        "layer_nums": [1, 1],
        "layer_strides": [2, 2],
        "out_channels": [16, 32],
    },
    "neck": {
        "type": "SECONDFPN",
        "in_channels": [16, 32],
        "upsample_strides": [1, 2],
        "out_channels": [16, 16],
    },
    "bbox_head": {
        "type": "Anchor3DHead",
        "num_classes": 2,
        "in_channels": 32,
        "feat_channels": 32,
        "use_direction_classifier": True,
        "assign_per_class": True,
        "anchor_generator": {
            "type": "AlignedAnchor3DRangeGenerator",
            "ranges": [[-12.8, -6.4, -1.8, 12.8, 6.4, -1.8]] * 2,
            "sizes": [[0.8, 0.6, 1.73], [3.9, 1.6, 1.56]],
            "rotations": [0, 1.57],
            "reshape_out": False,
        },
        "diff_rad_by_sin": True,
        "bbox_coder": {"type": "DeltaXYZWLHRBBoxCoder"},
        "loss_cls": {"type": "mmdet.FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25},
        "loss_bbox": {"type": "mmdet.SmoothL1Loss", "beta": 1 / 9, "loss_weight": 2.0},
        "loss_dir": {"type": "mmdet.CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.2},
    },
    "train_cfg": {
        "assigner": [
            {
                "type": "Max3DIoUAssigner",
                "iou_calculator": {"type": "mmdet3d.BboxOverlapsNearest3D"},
                "pos_iou_thr": high,
                "neg_iou_thr": low,
                "min_pos_iou": low,
                "ignore_iof_thr": -1,
            }
            for high, low in ((0.5, 0.35), (0.6, 0.45))
        ],
        "allowed_border": 0,
        "pos_weight": -1,
        "debug": False,
    },
    "test_cfg": {
        "use_rotate_nms": True,
        "nms_across_levels": False,
        "nms_thr": 0.01,
        "score_thr": 0.05,
        "min_bbox_size": 0,
        "nms_pre": 100,
        "max_num": 50,
    },
}
test_dataloader = {
    "dataset": {
        "type": "KittiDataset",
        "data_root": ".",
        "ann_file": "",
        "pipeline": [
            point_loader,
            {"type": "PointsRangeFilter", "point_cloud_range": point_cloud_range},
            {"type": "Pack3DDetInputs", "keys": ["points"]},
        ],
        "metainfo": metainfo,
        "box_type_3d": "LiDAR",
        "modality": {"use_lidar": True, "use_camera": False},
        "test_mode": True,
    }
}
